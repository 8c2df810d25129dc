"""Questions of an application to an agent."""

import json
import urllib.error
import urllib.request
from typing import Any


def infer_body(value: float = 1.0, **fields: Any) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [value] * 16}
    return {"inputs": [tensor], **fields}


def call(url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """One HTTP call: status and JSON."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
