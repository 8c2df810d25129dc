"""What the system refuses is told in its words, without Python's."""

import socket
import ssl
from pathlib import Path

import pytest

from edgefleet_process.causes import behind, in_words


def test_a_file_is_named_with_what_the_system_says(tmp_path: Path) -> None:
    with pytest.raises(OSError) as missing:
        (tmp_path / "x").read_bytes()
    assert in_words(missing.value) == f"'{tmp_path / 'x'}': no such file or directory"


def test_a_connection_that_is_refused_is_told_through_all_that_wraps_it() -> None:
    with socket.socket() as taken, pytest.raises(RuntimeError) as wrapped:
        taken.bind(("127.0.0.1", 0))
        try:
            try:
                socket.create_connection(taken.getsockname())
            except OSError as error:
                raise ValueError("[Errno 111] in a library") from error
        except ValueError as error:
            raise RuntimeError("[Errno 111] in another") from error
    assert in_words(behind(wrapped.value)) == "connection refused"


def test_tls_says_what_is_wrong_with_a_certificate_or_that_none_is_spoken() -> None:
    refused = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate (_ssl.c:1000)")
    refused.verify_message = "self-signed certificate"
    assert in_words(refused) == "its certificate is refused, self-signed certificate"
    spoken = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1000)")
    spoken.reason = "WRONG_VERSION_NUMBER"
    assert in_words(spoken) == "TLS failed, wrong version number"


def test_what_is_not_of_the_system_keeps_its_words() -> None:
    assert in_words(ValueError("a table is gone")) == "a table is gone"
    assert in_words(TimeoutError()) == "TimeoutError"
    assert str(behind(ValueError("alone"))) == "alone"
