"""Each byte of a password file counts or is refused, and no message shows it."""

from pathlib import Path

import pytest

from edgefleet_process.errors import UnusableLogin
from edgefleet_process.logins import read_password, trusting


@pytest.mark.parametrize(
    ("written", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"  two words \n", "  two words "),
        ("gr\u00fc\u00dfe\n".encode(), "gr\u00fc\u00dfe"),
        (b"x" * 65_535 + b"\n", "x" * 65_535),
    ],
)
def test_a_password_is_its_line_with_its_blanks(tmp_path: Path, written: bytes, password: str) -> None:
    (tmp_path / "password").write_bytes(written)
    assert read_password(tmp_path / "password") == password


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"geheim\nsecond", "several lines"),
        (b"geheim\n\n", "several lines"),
        (b"\xef\xbb\xbfgeheim\n", "byte order mark"),
        ("geheim".encode("utf-16"), "not UTF-8"),
        (b"geheim\xe4", "not UTF-8"),
        (b"geheim\0", "zero byte"),
        (b"geheim" * 20_000, "more than"),
    ],
)
def test_what_would_not_be_obeyed_is_refused_and_not_shown(tmp_path: Path, written: bytes, says: str) -> None:
    (tmp_path / "password").write_bytes(written)
    with pytest.raises(UnusableLogin, match=says) as refused:
        read_password(tmp_path / "password")
    assert str(tmp_path / "password") in str(refused.value)
    assert "geheim" not in str(refused.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for read in (read_password, trusting):
        with pytest.raises(UnusableLogin, match=str(tmp_path / "missing")):
            read(tmp_path / "missing")


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(UnusableLogin, match=r"ca\.pem holds no certificate"):
        trusting(tmp_path / "ca.pem")
