"""The application's side: questions to an agent, and labels."""

import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import numpy as np

PROFILE = "eu/x86-avx2/ethernet"


def ask(endpoint: str, image: np.ndarray, request_id: str = "r") -> tuple[int, dict]:
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    tensor = {
        "name": "image",
        "shape": [1, 1, 28, 28],
        "datatype": "UINT8",
        "data": image.astype(np.uint8).ravel().tolist(),
    }
    with closing(connection):
        connection.request("POST", "/v2/models/fashion/infer", json.dumps({"id": request_id, "inputs": [tensor]}))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def tell(endpoint: str, request_id: str, label: int) -> int:
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    body = json.dumps({"model": "fashion", "id": request_id, "label": label})
    connection.request("POST", "/edgefleet/v1/feedback", body)
    status = connection.getresponse().status
    connection.close()
    return status
