"""The client has a method for every route, which asks as the API takes it and answers the shape that it gives."""

import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from edgefleet_contract.builds import NewConstraints, NewSearch
from edgefleet_contract.recipes import RecipeTable, StepTable
from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_operator import Client, UploadProgress

OPENAPI = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
ROUTES = {f"{method.upper()} {path}": route for path, of in OPENAPI["paths"].items() for method, route in of.items()}
SPEC = RolloutSpec(model="fashion", version=1)
RECIPE = RecipeTable(name="mine", title="of my own", steps=(StepTable(step="export"),))
SEARCH = NewSearch(budget_min=1, constraints=NewConstraints(max_drop=0.01))
MADE_OF_OTHERS = {"models.add", "models.add_onnx", "operations.watch", "operations.wait", "rollouts.watch"} | {
    *("rollouts.wait", "wait_until_up", "close", "telemetry.all")
}
"""Methods that ask by way of others."""

CALLS: dict[str, tuple[str, Callable[[Any, Path], Any]]] = {
    "models.all": ("GET /api/v1/models", lambda m, _: m()),
    "models.get": ("GET /api/v1/models/{ref}", lambda m, _: m("fashion@1")),
    "models.upload": ("PUT /api/v1/blobs/{sha256}", lambda m, file: m(file)),
    "models.offer": ("POST /api/v1/blobs/{sha256}/offer", lambda m, file: m(file, "a" * 64, "data")),
    "models.register": ("POST /api/v1/models", lambda m, _: m({"model.toml": "a" * 64})),
    "models.remove": ("DELETE /api/v1/models/{ref}", lambda m, _: m("fashion@1")),
    "models.choices": ("GET /api/v1/models/{ref}/choices", lambda m, _: m("fashion@1")),
    "models.explain": (
        "GET /api/v1/models/{ref}/choices/{region}/{hardware}/{link}",
        lambda m, _: m("fashion@1", "eu/rpi4/lte"),
    ),
    "variants.all": ("GET /api/v1/variants", lambda m, _: m("fashion@1")),
    "variants.get": ("GET /api/v1/variants/{variant}", lambda m, _: m("abc")),
    "variants.rebuild": ("POST /api/v1/variants/{variant}/rebuilds", lambda m, _: m("abc")),
    "builds.start": (
        "POST /api/v1/builds",
        lambda m, _: m("fashion@1", profiles=["eu/rpi4/lte"], recipes=["int8", RECIPE], search=SEARCH),
    ),
    "operations.all": ("GET /api/v1/operations", lambda m, _: m()),
    "operations.get": ("GET /api/v1/operations/{operation_id}", lambda m, _: m("o")),
    "operations.cancel": ("POST /api/v1/operations/{operation_id}/cancel", lambda m, _: m("o")),
    "operations.search_report": ("GET /api/v1/operations/{operation_id}/search", lambda m, _: m("o")),
    "operations.search_picture": (
        "GET /api/v1/operations/{operation_id}/search/{device_class}.svg",
        lambda m, _: m("o", "arm-neon"),
    ),
    "devices.all": ("GET /api/v1/devices", lambda m, _: m("region=eu", status="pending")),
    "devices.get": ("GET /api/v1/devices/{device}", lambda m, _: m("d")),
    "devices.add": ("POST /api/v1/devices", lambda m, _: m("eu/rpi4/lte", "d")),
    "devices.accept": ("POST /api/v1/devices/{device}/accept", lambda m, _: m("d")),
    "devices.label": (
        "POST /api/v1/devices/{device}/labels",
        lambda m, _: m("d", {"site": "oslo"}, remove=["row"]),
    ),
    "devices.note": ("PUT /api/v1/devices/{device}/note", lambda m, _: m("d", "behind the door")),
    "devices.remove": ("DELETE /api/v1/devices/{device}", lambda m, _: m("d")),
    "devices.expected": ("GET /api/v1/expected-devices", lambda m, _: m()),
    "alerts.all": ("GET /api/v1/alerts", lambda m, _: m("open")),
    "segments.all": ("GET /api/v1/segments", lambda m, _: m()),
    "segments.get": ("GET /api/v1/segments/{name}", lambda m, _: m("europe")),
    "segments.remove": ("DELETE /api/v1/segments/{name}", lambda m, _: m("europe")),
    "segments.save": ("PUT /api/v1/segments/{name}", lambda m, _: m("europe", "region=eu")),
    "profiles.all": ("GET /api/v1/profiles", lambda m, _: m()),
    "profiles.get": ("GET /api/v1/profiles/{region}/{hardware}/{link}", lambda m, _: m("eu/rpi4/lte")),
    "rollouts.plan": ("POST /api/v1/rollouts/plan", lambda m, _: m(SPEC)),
    "rollouts.start": ("POST /api/v1/rollouts", lambda m, _: m(SPEC)),
    "rollouts.all": ("GET /api/v1/rollouts", lambda m, _: m()),
    "rollouts.get": ("GET /api/v1/rollouts/{rollout}", lambda m, _: m("r")),
    "rollouts.executions": ("GET /api/v1/rollouts/{rollout}/executions", lambda m, _: m("r")),
    "rollouts.pause": ("POST /api/v1/rollouts/{rollout}/pause", lambda m, _: m("r")),
    "rollouts.resume": ("POST /api/v1/rollouts/{rollout}/resume", lambda m, _: m("r")),
    "rollouts.abort": ("POST /api/v1/rollouts/{rollout}/abort", lambda m, _: m("r")),
    "rollouts.roll_back": ("POST /api/v1/rollouts/{rollout}/rollback", lambda m, _: m("r")),
    "telemetry.pages": (
        "GET /api/v1/telemetry",
        lambda m, _: m(["device"], bucket="hour", model="m", device="d", selector="a=b", since_ms=1, until_ms=2),
    ),
    "health": ("GET /api/v1/health", lambda m, _: m()),
    "metrics": ("GET /metrics", lambda m, _: m()),
}


class AskedError(Exception):
    """Carries a request out of the client."""


def refuse(request: httpx.Request) -> httpx.Response:
    request.read()
    raise AskedError(request)


def client() -> Client:
    return Client("http://controller", transport=httpx.MockTransport(refuse))


def method(name: str) -> Callable[..., Any]:
    found: Any = client()
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    return found


def asked(name: str, file: Path) -> httpx.Request:
    with pytest.raises(AskedError) as caught:
        answer = CALLS[name][1](method(name), file)
        next(answer)
    request = caught.value.args[0]
    assert isinstance(request, httpx.Request)
    return request


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "data.npz"
    made.write_bytes(b"samples")
    return made


def test_every_route_has_a_method_and_no_other() -> None:
    assert sorted(route for route, _ in CALLS.values()) == sorted(ROUTES)


def test_every_method_asks_a_route_or_by_way_of_others() -> None:
    found = client()
    nouns = {name: one for name, one in vars(found).items() if not name.startswith("_")}
    methods = {f"{noun}.{name}" for noun, one in nouns.items() for name, _ in public_methods(one)}
    methods |= {name for name, _ in public_methods(found)}
    assert methods == {*CALLS, *MADE_OF_OTHERS}


def public_methods(one: object) -> Iterator[tuple[str, Any]]:
    return ((n, m) for n, m in inspect.getmembers(one, inspect.ismethod) if not n.startswith("_"))


@pytest.mark.parametrize("name", CALLS)
def test_a_method_asks_its_route_with_all_that_it_takes(name: str, file: Path) -> None:
    request, route = asked(name, file), CALLS[name][0]
    verb, template = route.split(" ")
    pattern = re.sub(r"\\{[a-z0-9_]+\\}", "[^/]+", re.escape(template))
    assert request.method == verb and re.fullmatch(pattern, request.url.path)
    declared = {p["name"] for p in ROUTES[route].get("parameters", []) if p["in"] == "query"}
    assert {*request.url.params} == declared - {"cursor"}
    assert bool(request.content) == ("requestBody" in ROUTES[route])


@pytest.mark.parametrize("name", CALLS)
def test_a_method_answers_the_shape_that_its_route_gives(name: str) -> None:
    answers = next(a for status, a in ROUTES[CALLS[name][0]]["responses"].items() if status.startswith("2"))
    schemas = [content.get("schema", {}).get("$ref", "") for content in answers.get("content", {}).values()]
    shape = typing.get_type_hints(method(name))["return"]
    listed = typing.get_origin(shape) is Iterator or "Iterator" in str(typing.get_origin(shape))
    of = typing.get_args(shape)[0] if listed else shape
    if not (isinstance(of, type) and issubclass(of, BaseModel)):
        assert of in (type(None), str, bytes)
        assert not any(schemas)
        return
    expected = f"Page_{of.__name__}_" if listed and not of.__name__.endswith("Page") else of.__name__
    assert schemas == [f"#/components/schemas/{expected}"]


def test_a_spec_goes_as_it_was_made_and_the_controllers_defaults_hold(file: Path) -> None:
    assert json.loads(asked("rollouts.start", file).content) == {"model": "fashion", "version": 1}


def test_a_build_goes_with_names_and_tables(file: Path) -> None:
    sent = json.loads(asked("builds.start", file).content)
    assert sent["recipes"] == [
        "int8",
        {"name": "mine", "title": "of my own", "steps": [{"step": "export", "config": {}}]},
    ]
    assert sent["search"] == {"budget_min": 1, "constraints": {"max_drop": 0.01}}


def test_a_file_is_sent_a_block_at_a_time_and_that_is_told(tmp_path: Path) -> None:
    file, told = tmp_path / "weights", list[UploadProgress]()
    file.write_bytes(bytes(2 * 2**20 + 5))
    with Client("http://c", transport=httpx.MockTransport(lambda r: httpx.Response(204))) as client:
        client.models.upload(file, told.append)
    assert [one.sent_bytes for one in told] == [2**20, 2**21, 2**21 + 5]
    assert {(one.file, one.total_bytes) for one in told} == {("weights", 2**21 + 5)}
