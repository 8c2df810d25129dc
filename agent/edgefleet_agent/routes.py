"""The endpoint's paths: Open Inference Protocol v2 with Triton's extensions, feedback, and the device's status."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import from_json, to_json

from edgefleet_agent.errors import RequestError
from edgefleet_agent.serving import Body, Serving
from edgefleet_agent.version import agent_version

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_FEEDBACK_BYTES = 512 * 1024
"""Scoring so many labels takes up to 0.9 s of the measuring host (boxes), and a worker has 10 s."""
EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "model_repository(index)", "statistics")
"""By the names that Triton's documents give them; of model_repository we have the index alone."""
RAW_AFTER = "Inference-Header-Content-Length"
"""How many bytes of a body are JSON, when raw tensors follow."""

_NUMBER = re.compile(r"[0-9]{1,12}")
_MODEL = re.compile(r"^/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer|config|stats))?$")


def get(path: str, serving: Serving) -> Body:
    """Answer a GET.

    Raises:
        RequestError: 404 for what is not here, 503 for what does not answer yet.
    """
    match path:
        case "/v2":
            told = {"name": "edgefleet-agent", "version": agent_version(), "extensions": EXTENSIONS}
            return json_body(told)
        case "/v2/health/live":
            return json_body({"live": True})
        case "/v2/health/ready":
            serving.check_ready()
            return json_body({"ready": True})
        case "/v2/models/stats":
            return json_body(serving.statistics(None, None))
        case "/edgefleet/v1/status":
            return Body(serving.status())
    if (found := _MODEL.match(path)) and found[3] != "infer":
        return json_body(_of_model(found[1], found[2], found[3], serving))
    raise _nothing("GET", path)


def post(path: str, fields: Mapping[str, str], body: bytes, serving: Serving) -> Body:
    """Answer a POST.

    Args:
        path: the path.
        fields: the headers by lower-case name.
        body: the body, without its coding.
        serving: what answers.

    Raises:
        RequestError: 404 for what is not here, 400 for an invalid request, 5xx for what cannot be answered.
    """
    if path == "/edgefleet/v1/feedback":
        if len(body) > MAX_FEEDBACK_BYTES:
            raise RequestError(413, f"feedback has {len(body):,} bytes, more than the {MAX_FEEDBACK_BYTES:,} allowed")
        return json_body(serving.feedback(_parsed(body)))
    if path == "/v2/repository/index":
        return json_body(serving.index(_only_ready(body)))
    if (found := _MODEL.match(path)) and found[3] == "infer":
        length = fields.get(RAW_AFTER.lower())
        if length is not None and not _NUMBER.fullmatch(length):
            raise RequestError(400, f"{RAW_AFTER} must be a number")
        return serving.infer(found[1], found[2], body, None if length is None else int(length))
    raise _nothing("POST to", path)


def refuse_query(query: str) -> None:
    """No path takes a parameter: one that nobody obeys is refused.

    Raises:
        RequestError: 400, naming it.
    """
    for name, _ in parse_qsl(query, keep_blank_values=True):
        raise RequestError(400, f"unknown query parameter '{name[:100]}': nothing here takes any, leave it out")


def json_body(value: Any) -> Body:
    """A value as a body of JSON."""
    return Body(to_json(value))


def _of_model(model: str, version: str | None, part: str | None, serving: Serving) -> dict[str, Any]:
    match part:
        case "ready":
            serving.check_ready(model, version)
            return {"name": model, "ready": True}
        case "config":
            return serving.configuration(model, version, MAX_BODY_BYTES)
        case "stats":
            return serving.statistics(model, version)
    return serving.metadata(model, version)


def _only_ready(body: bytes) -> bool:
    asked = _parsed(body) if body.strip() else {}
    ready = asked.get("ready", False) if isinstance(asked, dict) and asked.keys() <= {"ready"} else None
    if not isinstance(ready, bool):
        raise RequestError(400, 'the body of an index must be empty or {"ready": true} for models that are ready')
    return ready


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body, cache_strings="keys")  # each value comes once: kept ones would add up
    except ValueError:
        raise RequestError(400, "the body is not JSON") from None


def _nothing(way: str, path: str) -> RequestError:
    return RequestError(
        404, f"nothing to {way} at {path[:200]}; of Triton's extensions, these are here: {', '.join(EXTENSIONS)}"
    )
