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


def test_a_refusal_that_is_no_problem_is_told_as_it_came() -> None:
    with pytest.raises(ControllerFault, match="upstream is gone"):
        client(httpx.Response(502, text="upstream is gone")).health()
    with pytest.raises(NotFound, match="answers 404 Not Found"):
        client(httpx.Response(404)).health()


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


def test_a_token_that_no_header_can_carry_is_refused_at_once() -> None:
    with pytest.raises(Invalid, match="token"):
        Client("http://controller", "töken")


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


def test_a_token_goes_along_and_the_connection_is_closed() -> None:
    played = Played([page("a")])
    with Client("http://controller/", "secret", transport=played.transport) as opened:
        list(opened.segments.all())
    assert played.asked[0].headers["Authorization"] == "Bearer secret"
    with pytest.raises(RuntimeError, match="closed"):
        opened.health()
