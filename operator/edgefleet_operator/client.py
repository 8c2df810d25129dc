"""The REST API from the outside, for the command line and the demo."""

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from edgefleet_contract.card import CARD_FILE, load_card
from edgefleet_operator.errors import ApiError
from edgefleet_operator.readers import DATA_FILE, ONNX_FILE, onnx_reader

REGISTER_S = 150.0
"""An ONNX file is looked at before it is registered, in a process that may take two minutes."""


class Client:
    """Speaks HTTP with a controller; every refusal is an ApiError with the controller's own words."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=f"{url}/api/v1", timeout=30, headers=headers)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that a path answers."""
        return self._ask("GET", path, params={k: v for k, v in query.items() if v is not None})

    def get_bytes(self, path: str) -> bytes:
        """What a path answers that is no JSON."""
        return bytes(self._answer("GET", path).content)

    def post(self, path: str, body: Any) -> Any:
        """The JSON that a path answers to a body."""
        return self._ask("POST", path, json=body)

    def put(self, path: str, *, content: bytes = b"", **query: Any) -> Any:
        """Put bytes, or values in the query."""
        return self._ask("PUT", path, content=content, params=query)

    def delete(self, path: str) -> None:
        """Remove what a path names."""
        self._ask("DELETE", path)

    def items(self, path: str, **query: Any) -> Iterator[Any]:
        """Every item of a listing, page by page."""
        cursor = None
        while True:
            page = self.get(path, cursor=cursor, **query)
            yield from page["items"]
            if (cursor := page["next"]) is None:
                return

    def add_model(self, folder: Path) -> Any:
        """Upload the files that a model's card names, and register it."""
        names = [CARD_FILE, *load_card(folder).files]
        return self._register({name: (folder / name).read_bytes() for name in names})

    def add_onnx(
        self, onnx: Path, data: Path, name: str | None = None, version: int = 1, *, scale: float | None = None
    ) -> Any:
        """Make a card for an ONNX file and its data, upload the three, and register them.

        Args:
            onnx: the file.
            data: the npz: `x`, or `x_val`, `x_test` and `x_calib`, each perhaps with its `y`.
            name: of the model; None takes the file's.
            version: of the model.
            scale: what samples are multiplied by; None is 1/255 for uint8 samples of a float32 input, else 1.

        Raises:
            FileRefused: the file or the data cannot be taken; one line says why.
            ReaderMissing: nothing here reads ONNX files.
        """
        card = onnx_reader()(onnx, data, name=name, version=version, scale=scale)
        files = {CARD_FILE: card.encode(), ONNX_FILE: onnx.read_bytes(), DATA_FILE: data.read_bytes()}
        return self._register(files)

    def _register(self, files: dict[str, bytes]) -> Any:
        digests = {name: sha256(data).hexdigest() for name, data in files.items()}
        for name, data in files.items():
            self.put(f"/blobs/{digests[name]}", content=data)
        return self._ask("POST", "/models", json={"files": digests}, timeout=REGISTER_S)

    def wait_until_up(self, seconds: float) -> None:
        """Wait for the controller to answer and to hear its broker."""
        until = time.monotonic() + seconds
        while True:
            try:
                if self.get("/health")["status"] == "ok":
                    return
            except ApiError:
                pass
            if time.monotonic() > until:
                raise ApiError(f"the controller at {self.url} does not answer after {seconds:.0f} s")
            time.sleep(0.1)

    def _ask(self, method: str, path: str, **how: Any) -> Any:
        answer = self._answer(method, path, **how)
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **how)
        except httpx.HTTPError as error:
            raise ApiError(f"no answer from {self.url}: {error or type(error).__name__}") from None
        if answer.is_success:
            return answer
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = answer.text[:200] or f"{self.url} answers {answer.status_code} {answer.reason_phrase}"
        raise ApiError(str(detail), answer.status_code)
