"""Where the endpoint listens: where it is said to, after every start, or not at all."""

import logging
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.agent.endpoint import get

from edgefleet_agent.endpoint import Endpoint, open_endpoint
from edgefleet_agent.errors import SettingsError
from edgefleet_agent.serving import Serving
from edgefleet_agent.telemetry import Recorder


@pytest.fixture
def serving() -> Serving:
    return Serving(Recorder(lambda: 0.0, lambda: 0), lambda: b"{}")


@contextmanager
def opened(endpoint: Endpoint) -> Iterator[str]:
    try:
        yield endpoint.url
    finally:
        endpoint.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_a_taken_port_is_named_with_what_to_do(serving: Serving) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"^127\.0\.0\.1:{port} is taken .*: stop it, or .* --http HOST:PORT$"):
            Endpoint("127.0.0.1", port, serving)


def test_an_address_of_another_machine_is_named(serving: Serving) -> None:
    with pytest.raises(SettingsError, match=r"^cannot listen on 192\.0\.2\.1:8080 \(.+\): choose another address"):
        Endpoint("192.0.2.1", 8080, serving)


def test_it_listens_on_ipv6(serving: Serving) -> None:
    with opened(Endpoint("::1", 0, serving)) as url:
        assert url.startswith("http://[::1]:")
        assert get(url, "/v2/health/live") == (200, {"live": True})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_free_port_is_kept_over_restarts(tmp_path: Path, serving: Serving, host: str) -> None:
    kept = tmp_path / "endpoint"
    with opened(open_endpoint(host, 0, serving, kept)) as first:
        kept.write_text(first)
    with opened(open_endpoint(host, 0, serving, kept)) as second:
        assert second == first


def test_a_kept_port_that_was_taken_is_left_and_said(
    tmp_path: Path, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "endpoint"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        kept.write_text(f"http://127.0.0.1:{port}")
        with caplog.at_level(logging.WARNING), opened(open_endpoint("127.0.0.1", 0, serving, kept)) as url:
            assert port_of(url) != port
    assert f"127.0.0.1:{port}, the address of the last run, is taken" in caplog.text


@pytest.mark.parametrize("text", ["", "rubbish", "http://127.0.0.1:x", "http://[::1", "http://10.0.0.1:9"])
def test_what_does_not_say_a_port_of_this_address_is_ignored(tmp_path: Path, serving: Serving, text: str) -> None:
    (tmp_path / "endpoint").write_text(text)
    with opened(open_endpoint("127.0.0.1", 0, serving, tmp_path / "endpoint")) as url:
        assert port_of(url) not in (0, 9)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "Agent.svc:8080"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_a_page_of_another_site_asks_in_vain(serving: Serving, headers: dict[str, str], status: int) -> None:
    with opened(Endpoint("127.0.0.1", 0, serving, ["agent.svc"])) as url:
        for method in ("GET", "POST"):
            request = urllib.request.Request(f"{url}/v2/health/live", headers=headers, method=method)
            try:
                answered = urllib.request.urlopen(request, timeout=10).status
            except urllib.error.HTTPError as error:
                answered = error.code
            expected = status if method == "GET" else {200: 404, 403: 403}[status]
            assert answered == expected, (method, headers)
