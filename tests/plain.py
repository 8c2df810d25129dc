"""The API as plain values: what a test sends and reads is what goes over the wire."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgefleet_operator.client import Client
from edgefleet_operator.http import BASE


class PlainClient(Client):
    """Paths in, JSON out."""

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that a path answers."""
        return self._json("GET", path, query=query)

    def get_bytes(self, path: str) -> bytes:
        """What a path answers that is no JSON."""
        return self._http.answer("GET", f"{BASE}{path}").content

    def post(self, path: str, body: Any) -> Any:
        """The JSON that a path answers to a body."""
        return self._json("POST", path, body=body)

    def put(self, path: str, *, content: bytes = b"", **query: Any) -> Any:
        """Put bytes, or values in the query."""
        return self._json("PUT", path, content=content, query=query)

    def delete(self, path: str) -> None:
        """Remove what a path names."""
        self._json("DELETE", path)

    def items(self, path: str, **query: Any) -> Iterator[Any]:
        """Every item of a listing, page by page."""
        cursor = None
        while True:
            page = self.get(path, cursor=cursor, **query)
            yield from page["items"]
            if (cursor := page["next"]) is None:
                return

    def add_model(self, folder: Path) -> Any:
        """Upload a folder's files, and register them."""
        return self.models.add(folder).model_dump(mode="json")

    def add_onnx(
        self,
        onnx: Path,
        data: Path,
        name: str | None = None,
        version: int = 1,
        *,
        scale: float | None = None,
        task: str | None = None,
    ) -> Any:
        """Upload an ONNX file with its samples, and register them."""
        return self.models.add_onnx(onnx, data, name, version, scale=scale, task=task).model_dump(mode="json")

    def _json(self, method: str, path: str, **how: Any) -> Any:
        answer = self._http.answer(method, f"{BASE}{path}", **how)
        return answer.json() if answer.content else None
