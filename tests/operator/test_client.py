"""The client reads pages as they are wanted, raises errors of its own, and waits with an end."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.operator.transports import Played

from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_operator import (
    ApiError,
    Client,
    Conflict,
    ControllerFault,
    Invalid,
    NoAnswer,
    NotFound,
    NotUnderstood,
    Unauthorized,
    Unavailable,
    UnusableFile,
    WaitTimeout,
)
from edgefleet_operator.api import waiting


def segment(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "selector": "", "devices": 1, **more}


def page(*names: str, following: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"items": [segment(name) for name in names], "next": following})


def operation(state: str) -> httpx.Response:
    return httpx.Response(
        200, json={"id": "o", "kind": "compress", "target": "m@1", "state": state, "created_ms": 1, "changed_ms": 1}
    )


def problem(status: int, **headers: str) -> httpx.Response:
    body = {"type": "about:blank", "title": "t", "status": status, "detail": "what to do"}
    return httpx.Response(status, json=body, headers=headers)


def client(*answers: httpx.Response | Exception) -> Client:
    return Client("http://controller", transport=Played(answers).transport)


def test_a_listing_asks_for_a_page_as_it_is_wanted() -> None:
    played = Played([page("a", "b", following="b"), page("c")])
    listing = Client("http://controller", transport=played.transport).segments.all()
    assert [next(listing).name for _ in range(2)] == ["a", "b"]
    assert len(played.asked) == 1
    assert [one.name for one in listing] == ["c"]
    assert played.asked[1].url.params["cursor"] == "b"


def test_a_limit_asks_for_no_more_than_is_wanted() -> None:
    played = Played([page("a", following="a"), page("b", following="b")])
    found = list(Client("http://controller", transport=played.transport).segments.all(limit=1))
    assert [one.name for one in found] == ["a"]
    assert played.asked[0].url.params["limit"] == "1" and len(played.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((400, Invalid), (401, Unauthorized), (404, NotFound), (409, Conflict), (413, Invalid), (422, Invalid)),
        *((418, ApiError), (500, ControllerFault), (502, ControllerFault), (503, Unavailable)),
    ],
)
def test_a_refusal_is_an_error_of_its_status_in_the_controllers_words(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(ApiError, match="what to do") as refused:
        client(problem(status)).health()
    assert type(refused.value) is kind
    assert refused.value.status == status


def test_an_unavailable_controller_says_when_to_ask_again() -> None:
    with pytest.raises(Unavailable) as refused:
        client(problem(503, **{"Retry-After": "10"})).health()
    assert refused.value.retry_after_s == 10


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(404, html="<h1>Not Found</h1>"), NotUnderstood),
        (httpx.Response(301, headers={"Location": "https://elsewhere"}), NotUnderstood),
        (httpx.Response(400, content=b"[" * 200_000), NotUnderstood),
        (httpx.Response(404, headers={"Content-Type": "text/plain; charset=hex"}, content=b"x"), NotUnderstood),
        (httpx.Response(401, html="<h1>log in</h1>"), Unauthorized),
        (httpx.Response(502, html="<h1>Bad Gateway</h1>"), ControllerFault),
        (httpx.Response(503, html="<h1>later</h1>", headers={"Retry-After": "7"}), Unavailable),
    ],
)
def test_a_refusal_that_is_no_controllers_is_told_without_its_page(
    answer: httpx.Response, kind: type[ApiError]
) -> None:
    with pytest.raises(kind, match=f"http://controller answers {answer.status_code}") as refused:
        client(answer).segments.get("a")
    assert "<h1>" not in str(refused.value)


def test_no_answer_is_told_apart_from_a_refusal() -> None:
    with pytest.raises(NoAnswer, match="no answer from http://controller: refused") as failed:
        client(httpx.ConnectError("refused")).health()
    assert failed.value.status is None


def test_an_answer_of_another_shape_is_not_understood() -> None:
    with pytest.raises(NotUnderstood, match="does not match this version's HealthView"):
        client(httpx.Response(200, text="<html>a proxy</html>")).health()
    with pytest.raises(NotUnderstood, match="devices"):
        client(httpx.Response(200, json={"name": "n", "selector": ""})).segments.get("n")


def test_what_only_a_newer_controller_says_is_passed_over_wherever_it_stands() -> None:
    spec = {**RolloutSpec(model="m", version=1).model_dump(mode="json"), "newer": 1}
    spec["gate"] = {**spec["gate"], "newer": 1}
    plain = {"id": "r", "model": "m@1", "segment": None, "selector": "", "state": "running", "reason": None}
    counts = {"waves": [], "counts": {}, "counts_back": {}, "created_ms": 1, "changed_ms": 1}
    found = client(httpx.Response(200, json={**plain, **counts, "spec": spec, "newer": 1})).rollouts.get("r")
    assert found.spec == RolloutSpec(model="m", version=1)


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_name_that_nothing_can_have_is_refused_before_anything_is_asked(name: str) -> None:
    with pytest.raises(Invalid):
        client().devices.get(name)
    with pytest.raises(Invalid, match="write region/hardware/link"):
        client().profiles.get(name)


@pytest.mark.parametrize(
    ("asked", "about"),
    [
        (lambda c: c.models.register({"model.toml": "short"}), "files"),
        (lambda c: c.builds.start("m@1", recipes=["r"] * 101), "recipes"),
        (lambda c: c.devices.add("eu/rpi4/lte", "No Such Name"), "id"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused_before_anything_is_asked(
    asked: Callable[[Client], object], about: str
) -> None:
    with pytest.raises(Invalid, match=about):
        asked(client())


@pytest.mark.parametrize("url", ["http://x:port", "http://", "controller:8080", "ftp://controller", ""])
def test_an_address_that_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(Invalid, match="is not a controller's URL"):
        Client(url)


@pytest.mark.parametrize("token", ["sécret", "secret\n", "se cret", "sec\0ret"])
def test_a_token_that_can_be_none_is_refused_at_once_and_not_told(token: str) -> None:
    with pytest.raises(Invalid, match="the token holds") as refused:
        Client("http://controller", token)
    assert token.strip() not in str(refused.value)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_timeout_that_cannot_be_kept_is_refused(timeout_s: float) -> None:
    with pytest.raises(Invalid, match="timeout_s"):
        Client("http://controller", timeout_s=timeout_s)


@pytest.mark.parametrize("limit", [0, -1, 10**30])
def test_a_limit_that_is_no_number_of_items_is_refused(limit: int) -> None:
    for listing in (client().devices.all, client().telemetry.all):
        with pytest.raises(Invalid, match="limit"):
            list(listing(limit=limit))


def test_a_listing_that_begins_again_is_not_followed_for_ever() -> None:
    with pytest.raises(NotUnderstood, match="came twice"):
        list(client(page(following="c"), page(following="c")).segments.all())


@pytest.mark.parametrize("name", ["..", ".", "a\udcffb"])
def test_a_name_that_leads_elsewhere_or_cannot_be_sent_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        client().devices.remove(name)


def test_a_query_that_cannot_be_sent_is_refused() -> None:
    for selector in ("a\udcff", "x" * 70_000):
        with pytest.raises(Invalid, match="cannot be sent"):
            list(client().devices.all(selector))


def test_a_client_that_was_closed_says_so() -> None:
    closed = client()
    closed.close()
    with pytest.raises(Invalid, match="closed"):
        closed.health()


@pytest.mark.parametrize("change", [b"", bytes(3 << 20)])
def test_a_file_that_changes_while_it_is_uploaded_is_an_error_of_ours(tmp_path: Path, change: bytes) -> None:
    data = tmp_path / "data.npz"
    data.write_bytes(bytes(2 << 20))
    with pytest.raises(UnusableFile, match="changed while it was being uploaded"):
        client(httpx.Response(200)).models.upload(data, lambda _: data.write_bytes(change))


def test_a_file_that_cannot_be_read_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match=r"missing\.npz"):
        client().models.upload(tmp_path / "missing.npz")
    with pytest.raises(UnusableFile, match=r"has no model\.toml"):
        client().models.add(tmp_path)


def test_an_error_of_who_follows_an_upload_is_theirs(tmp_path: Path) -> None:
    def follow(_: object) -> None:
        raise BrokenPipeError

    (tmp_path / "data.npz").write_bytes(b"x")
    with pytest.raises(BrokenPipeError):
        client(httpx.Response(200)).models.upload(tmp_path / "data.npz", follow)


def test_an_operation_is_waited_for_and_told_of() -> None:
    told: list[str] = []
    ended = client(operation("running"), operation("failed")).operations.wait(
        "o", on_progress=lambda seen: told.append(seen.state)
    )
    assert (ended.state, told) == ("failed", ["running", "failed"])


def test_a_controller_that_is_away_for_a_moment_is_waited_for() -> None:
    away = httpx.ConnectError("refused")
    assert client(away, away, operation("succeeded")).operations.wait("o").ended


def test_a_refusal_ends_the_waiting() -> None:
    with pytest.raises(NotFound):
        client(operation("running"), problem(404)).operations.wait("o")


def test_the_last_look_is_taken_when_the_time_is_up() -> None:
    played = Played([operation("running")] * 3)
    waited = Client("http://controller", transport=played.transport).operations
    with pytest.raises(WaitTimeout, match=r"operation o did not end within 0\.05 s; it goes on"):
        waited.wait("o", timeout_s=0.05)
    assert len(played.asked) == 2


def test_silence_of_half_a_minute_ends_the_waiting() -> None:
    now = iter([0.0, 1.0, 20.0, 31.1])
    looks = waiting.looks(refuse, bool, "it", None, poll_s=0, clock=lambda: next(now))
    with pytest.raises(NoAnswer):
        list(looks)


def refuse() -> bool:
    raise NoAnswer("no answer")


def test_a_controller_is_waited_for_until_it_hears_its_broker() -> None:
    health = {"version": "1", "now_ms": 1, "state": {"writable": True, "free_bytes": 1}, "broker": "b", "messages": {}}
    health |= {"delivered_bytes": {}, "damaged_blobs": [], "set_aside": []}
    deaf, well = (httpx.Response(200, json={**health, "status": status}) for status in ("no broker", "ok"))
    client(httpx.ConnectError("refused"), deaf, well).wait_until_up(10)
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="is not up after 0 s"):
        client(httpx.ConnectError("refused")).wait_until_up(0)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("refusal", [problem(401), httpx.Response(404, html="<h1>Not Found</h1>")])
def test_who_waits_for_a_controller_learns_at_once_that_it_refuses(refusal: httpx.Response) -> None:
    with pytest.raises((Unauthorized, NotUnderstood)):
        client(refusal).wait_until_up(timeout_s=30)


def test_a_token_goes_along_and_the_connection_is_closed() -> None:
    played = Played([page("a")])
    with Client("http://controller/", "secret", transport=played.transport) as opened:
        list(opened.segments.all())
    assert played.asked[0].headers["Authorization"] == "Bearer secret"
    with pytest.raises(Invalid, match="closed"):
        opened.health()
