"""The API's port is kept; a taken one is an error that names it, never another port in silence."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefleet_controller.listening import CannotListen, listen, local_url


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_free_port_is_chosen_once(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0, tmp_path / "api.port") as first:
        url = local_url(first)
    with listen("127.0.0.1", 0, tmp_path / "api.port") as second:
        assert local_url(second) == url


def test_a_kept_port_that_is_taken_is_an_error_and_stays_kept(tmp_path: Path, taken: int) -> None:
    (tmp_path / "api.port").write_text(str(taken))
    with pytest.raises(CannotListen, match=rf"port {taken} is taken .* delete {tmp_path}/api\.port"):
        listen("127.0.0.1", 0, tmp_path / "api.port")
    assert (tmp_path / "api.port").read_text() == str(taken)


def test_a_given_port_that_is_taken_is_an_error_that_names_it(tmp_path: Path, taken: int) -> None:
    with pytest.raises(CannotListen, match=rf"port {taken} is taken .* give another --port"):
        listen("127.0.0.1", taken, tmp_path / "api.port")


@pytest.mark.parametrize("kept", ["", "x", "-1", "0", "70000"])
def test_a_file_that_keeps_no_port_is_named(tmp_path: Path, kept: str) -> None:
    (tmp_path / "api.port").write_text(kept)
    with pytest.raises(CannotListen, match=r"api\.port holds no port"):
        listen("127.0.0.1", 0, tmp_path / "api.port")


def test_an_address_of_another_machine_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotListen, match=r"cannot listen on 203\.0\.113\.9:0"):
        listen("203.0.113.9", 0, tmp_path / "api.port")
