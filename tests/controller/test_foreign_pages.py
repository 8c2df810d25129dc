"""The API, with or without a token, answers programs and its own pages, and nothing that another site's page sends."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.service import api_of, running_service

from edgefleet_controller.credentials import make_credentials

MARKED = {"X-Requested-With": "curl"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    state = tmp_path_factory.mktemp("state")
    with running_service(state, allow_hosts=("Fleet.example.org",)) as running, api_of(running) as address:
        yield address


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "127.0.0.1.nip.io"}],
)
@pytest.mark.parametrize("path", ["/api/v1/devices", "/metrics", "/docs", "/openapi.json", "/nothing"])
def test_a_foreign_page_reads_nothing(url: str, path: str, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{url}{path}", headers=headers)
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["fleet.example.org", "localhost", "[::1]:99", "192.0.2.1"])
def test_names_of_the_operator_and_addresses_pass(url: str, host: str) -> None:
    assert httpx.get(f"{url}/api/v1/devices", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Content-Type": "text/plain"}, 403),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 403),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 403),
        (MARKED | {"Origin": "https://evil.example"}, 403),
        (MARKED, 404),
        (JSON, 404),
        ({"Authorization": "Bearer x"}, 404),
        ({"Origin": "SELF"}, 404),
    ],
)
def test_a_change_without_json_needs_what_no_foreign_page_sends(url: str, headers: dict[str, str], status: int) -> None:
    sent = {name: url if value == "SELF" else value for name, value in headers.items()}
    answer = httpx.post(f"{url}/api/v1/devices/nobody/accept", headers=sent)
    assert answer.status_code == status, answer.text
    if not headers:
        assert "X-Requested-With" in answer.json()["detail"]


def test_the_interactive_pages_load_with_a_token_set(tmp_path: Path) -> None:
    make_credentials(tmp_path)
    with running_service(tmp_path) as running, api_of(running) as address:
        page = httpx.get(f"{address}/docs")
        scripts = [part.partition('"')[0] for part in page.text.split('src="')[1:]]
        assert scripts
        for script in scripts:
            assert httpx.get(f"{address}{script}").status_code == 200
        assert httpx.get(f"{address}/api/v1/devices").status_code == 401
