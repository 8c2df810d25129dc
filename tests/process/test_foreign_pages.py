"""Requests of programs and of a server's own pages pass; those of other sites' pages are told apart."""

import pytest

from edgefleet_process.foreign_pages import foreign

NAMES = {"gateway", "fleet.example.org"}


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (None, None),
        *((host, None) for host in ("127.0.0.1:8080", "[::1]:8080", "[::1]", "10.0.0.5", "localhost:1", "LocalHost")),
        *((host, None) for host in ("gateway:8080", "Fleet.Example.org", "fleet.example.org.:443")),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("fleet.example.org", "https://Fleet.example.org"),
    ],
)
def test_a_request_by_address_or_known_name_passes(host: str | None, origin: str | None) -> None:
    assert foreign(host, origin, NAMES) is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "", "127.1", "a@b"),
        *("[::1]evil.example", "127.0.0.1:x", "evil.example#127.0.0.1", "2130706433", "gateway.evil.example"),
    ],
)
def test_any_other_name_may_have_been_rebound(host: str) -> None:
    assert "not called" in (foreign(host, None, NAMES) or "")


def test_a_server_that_wants_a_secret_goes_by_any_name_but_not_from_any_page() -> None:
    assert foreign("proxy.example", None, None) is None
    assert "may not ask" in (foreign("proxy.example", "https://evil.example", None) or "")


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "null",
            "https://evil.example",
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "http://localhost:8080",
            "",
            "[",
        ),
    ],
)
def test_a_page_of_another_site_is_told_by_its_origin(origin: str) -> None:
    assert "may not ask" in (foreign("127.0.0.1:8080", origin, NAMES) or "")
