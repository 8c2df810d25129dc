"""The API obeys every part of a request or refuses it, on every route and by one seam."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute
from tests.service import MARKED, api_of, running_service

from edgefleet_controller.api.app import create_app, openapi_text
from edgefleet_controller.api.exactness import refuse_inexact
from edgefleet_controller.service import Service

DESCRIBED = json.loads(openapi_text())["paths"]
ROUTES = [(verb, path) for path, verbs in DESCRIBED.items() for verb in verbs]
NAMES = {"sha256": "a" * 64, "ref": "fashion@1"}
ROLLOUT = {"model": "fashion", "version": 1, "everyone": True}
SEARCH = {"model": "fashion@1", "search": {"budget_min": 1}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("exact") / "state") as running:
        yield running


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[httpx.Client]:
    with api_of(service) as address, httpx.Client(base_url=address, headers=MARKED, timeout=60) as client:
        yield client


def asked(api: httpx.Client, verb: str, path: str, **how) -> httpx.Response:
    filled = re.sub(r"{(\w+)}", lambda name: NAMES.get(name[1], "x"), path)
    return api.request(verb.upper(), filled, **how)


@pytest.mark.parametrize(("verb", "path"), ROUTES)
def test_no_route_takes_a_query_parameter_that_nothing_reads(api: httpx.Client, verb: str, path: str) -> None:
    answer = asked(api, verb, path, params={"limitt": "1"})
    assert answer.status_code == 422, answer.text
    known = [one["name"] for one in DESCRIBED[path][verb].get("parameters", ()) if one["in"] == "query"]
    advice = f"use one of {', '.join(known)}" if known else "this takes none"
    advice = "did you mean 'limit'?" if "limit" in known else advice
    assert answer.json()["detail"] == f"unknown query parameter 'limitt': {advice}"


@pytest.mark.parametrize(("verb", "path"), [one for one in ROUTES if "requestBody" not in DESCRIBED[one[1]][one[0]]])
def test_no_route_takes_a_body_that_nothing_reads(api: httpx.Client, verb: str, path: str) -> None:
    if verb == "get":
        return  # nobody sends one
    answer = asked(api, verb, path, json={"force": True})
    assert answer.status_code == 422 and "takes no body: send none" in answer.text
    for nothing in (b"", b"{}", b"null"):
        assert "takes no body" not in asked(api, verb, path, content=nothing).text


def test_a_parameter_given_twice_is_refused_unless_it_is_a_list(api: httpx.Client) -> None:
    twice = api.get("/api/v1/devices?limit=1&limit=2")
    assert twice.status_code == 422
    assert twice.json()["detail"] == "the query parameter 'limit' is there 2 times: give it once"
    assert api.get("/api/v1/telemetry?group_by=device&group_by=variant").status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("rollouts", ROLLOUT | {"version": True}, "body.version: must be a whole number, not true"),
        ("rollouts", ROLLOUT | {"version": "1"}, "body.version: must be a whole number, not '1'"),
        ("rollouts", ROLLOUT | {"version": 1.0}, "body.version: must be a whole number, not 1.0"),
        ("rollouts", ROLLOUT | {"everyone": 1}, "body.everyone: must be true or false, not 1"),
        ("rollouts", ROLLOUT | {"everyone": "yes"}, "body.everyone: must be true or false, not 'yes'"),
        ("rollouts", ROLLOUT | {"gate": {"soak_s": "60"}}, "body.gate.soak_s: must be a number, not '60'"),
        ("rollouts", ROLLOUT | {"timers": {"trial_s": False}}, "body.timers.trial_s: must be a number, not false"),
        ("rollouts", ROLLOUT | {"waves": [True]}, "body.waves.0: must be a number, not true"),
        ("rollouts", ROLLOUT | {"waves": "1"}, "body.waves: must be a list, not '1'"),
        ("rollouts/plan", ROLLOUT | {"concurrency": "5"}, "body.concurrency: must be a whole number, not '5'"),
        ("builds", SEARCH | {"search": {"budget_min": "1"}}, "body.search.budget_min: must be a number, not '1'"),
        (
            "builds",
            SEARCH | {"search": {"budget_min": 1, "seed": True}},
            "search.seed: must be a whole number, not true",
        ),
        ("builds", {"model": 1}, "body.model: must be text, not 1"),
        ("devices", {"profile": 5}, "body.profile: must be text, not 5"),
        ("rollouts", ROLLOUT | {"wave": [1]}, "unknown field body.wave: did you mean 'waves'?"),
    ],
)
def test_a_value_of_another_type_is_refused(api: httpx.Client, path: str, body: dict, told: str) -> None:
    answer = api.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["detail"]


def test_whole_numbers_are_numbers_and_lists_are_lists(api: httpx.Client) -> None:
    body = ROLLOUT | {"waves": [1], "gate": {"soak_s": 60, "require": ["errors"]}, "timers": {"trial_s": 5}}
    answer = api.post("/api/v1/rollouts/plan", json=body)
    assert answer.status_code == 404 and "no model fashion@1" in answer.text


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"model": "fashion", "model": "other", "version": 1, "everyone": true}', "model"),
        (b'{"model": "fashion", "version": 1, "version": 1, "everyone": true}', "version"),
        (b'{"model": "fashion", "version": 1, "everyone": true, "gate": {"soak_s": 5, "soak_s": 600}}', "soak_s"),
        (b'{"model": "fashion", "version": 1, "everyone": true, "gate": {"soak_s": 5, "so\\u0061k_s": 6}}', "soak_s"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/rollouts", "/api/v1/rollouts/plan"])
def test_a_key_that_is_there_twice_is_named_and_nothing_begins(
    api: httpx.Client, path: str, body: bytes, key: str
) -> None:
    answer = api.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"] == f"the body has the key '{key}' 2 times: give it once"
    assert api.get("/api/v1/rollouts").json()["items"] == []


def test_equal_keys_in_different_parts_of_a_body_are_two_keys(api: httpx.Client) -> None:
    step = {"step": "export", "config": {}}
    recipes = [{"name": name, "title": "t", "steps": [step, step]} for name in ("a", "b")]
    answer = api.post("/api/v1/builds", json={"model": "fashion@1", "recipes": recipes})
    assert answer.status_code != 400, answer.text


def test_every_route_depends_on_the_seam() -> None:
    routes = [route for route in create_app().routes if isinstance(route, APIRoute) and route.include_in_schema]
    for route in routes:
        assert refuse_inexact in [one.call for one in route.dependant.dependencies], route.path
