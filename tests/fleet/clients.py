"""An application that asks for the same image all the time and keeps every answer."""

import http.client
import json
import threading
from urllib.parse import urlsplit

import numpy as np

PAUSE_S = 0.02
PATIENCE_S = 40.0
"""A client that asks what makes a worker hang waits for the deadlines of two of them."""


class Client:
    """Asks `endpoint` for an image from now on; `answers` are status and variant."""

    def __init__(self, endpoint: str, image: np.ndarray) -> None:
        self.answers: list[tuple[int, str | None]] = []
        parts = urlsplit(endpoint)
        self._host, self._port = parts.hostname or "", parts.port
        tensor = {
            "name": "image",
            "shape": [1, 1, 28, 28],
            "datatype": "UINT8",
            "data": image.astype(np.uint8).ravel().tolist(),
        }
        self._body = json.dumps({"inputs": [tensor]})
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(PAUSE_S):
            connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE_S)
            try:
                connection.request("POST", "/v2/models/fashion/infer", self._body)
                answer = connection.getresponse()
                said = json.loads(answer.read())
                self.answers.append((answer.status, said.get("parameters", {}).get("variant")))
            except OSError:
                self.answers.append((0, None))
            finally:
                connection.close()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
