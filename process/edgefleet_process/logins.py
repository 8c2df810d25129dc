"""Reads the files with which a process logs in to a server: a password, and the certificates to trust."""

import ssl
from pathlib import Path

from edgefleet_process.causes import in_words
from edgefleet_process.errors import TooLarge, UnusableLogin
from edgefleet_process.reading import read_at_most

MOST_BYTES = 65_535
"""Of a password: MQTT's own limit."""
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def read_password(path: Path) -> str:
    """Read the password in a file: its only line, blanks included, without the end of the line.

    Raises:
        UnusableLogin: the file can't be read or is not one line of UTF-8; says what to do, and shows nothing of it.
    """
    try:
        text = read_at_most(MOST_BYTES + 2, path).decode()
    except UnicodeDecodeError:
        raise UnusableLogin(f"{path} is not UTF-8: save the password as UTF-8 text") from None
    except (OSError, TooLarge) as error:
        raise UnusableLogin(f"no password can be read: {in_words(error)}; write it into that file") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if password.startswith(BYTE_ORDER_MARK):
        raise UnusableLogin(f"{path} begins with a byte order mark: save it as UTF-8 without one")
    if not password:
        raise UnusableLogin(f"{path} is empty: write the password into it")
    if password.splitlines() != [password]:
        raise UnusableLogin(f"{path} has several lines: it must hold the password alone")
    if "\0" in password:
        raise UnusableLogin(f"{path} holds a zero byte, which no password has: write the password as text")
    return password


def trusting(certificates: Path | None) -> ssl.SSLContext:
    """Make the TLS settings of a client, which checks the server's certificate and its name.

    Args:
        certificates: a PEM file of the certificate authorities to trust; None for those of the system.

    Raises:
        UnusableLogin: the file can't be read, or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=certificates)
    except ssl.SSLError:
        raise UnusableLogin(f"{certificates} holds no certificate: give a PEM file") from None
    except OSError as error:
        raise UnusableLogin(
            f"no certificates can be read in {certificates} ({in_words(error)}): give a PEM file"
        ) from None
