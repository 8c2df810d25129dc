"""Registered models, and what each profile gets of them."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgefleet_contract.card import CARD_FILE, load_card, parse_card
from edgefleet_contract.choices import ChoiceView, ExplanationView
from edgefleet_contract.models import ModelView, NewModel
from edgefleet_contract.pages import Page
from edgefleet_operator.api.uploads import OnUpload, sha256_of, upload
from edgefleet_operator.http import BASE, Http, at, at_profile
from edgefleet_operator.readers import DATA_FILE, ONNX_FILE, onnx_reader

REGISTER_S = 150.0
"""An ONNX file is looked at before it is registered, in a process that may take two minutes."""


class Models:
    """`client.models`: registered model versions, written `fashion@1`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, limit: int | None = None) -> Iterator[ModelView]:
        """Every registered version; at most `limit`."""
        return self._http.items(Page[ModelView], "/models", limit)

    def get(self, ref: str) -> ModelView:
        """A version."""
        return self._http.shape(ModelView, "GET", at("/models", ref))

    def add(self, folder: Path, on_progress: OnUpload | None = None) -> ModelView:
        """Upload the files that a folder's model.toml names, and register them; the same files again change nothing.

        Args:
            folder: with a model.toml.
            on_progress: told after every block of a file.

        Raises:
            CardError: the folder holds no model, or files that are not what its card says.
            ApiError: it is refused, or there is no answer.
        """
        card = load_card(folder)
        files = {CARD_FILE: sha256_of(folder / CARD_FILE), **card.files}
        for name, sha256 in files.items():
            upload(self._http, folder / name, sha256, name, on_progress)
        return self.register(files)

    def add_onnx(
        self,
        onnx: Path,
        data: Path,
        name: str | None = None,
        version: int = 1,
        *,
        scale: float | None = None,
        on_progress: OnUpload | None = None,
    ) -> ModelView:
        """Make a card for an ONNX file and its samples, upload the three, and register them.

        Args:
            onnx: the file.
            data: the npz: `x`, or `x_val`, `x_test` and `x_calib`, each perhaps with its `y`.
            name: of the model; None takes the file's.
            version: of the model.
            scale: what samples are multiplied by; None is 1/255 for uint8 samples of a float32 input, else 1.
            on_progress: told after every block of a file.

        Raises:
            FileRefused: the file or the samples cannot be taken; one line says why.
            ReaderMissing: nothing here reads ONNX files: it takes the extra `compression`.
            ApiError: it is refused, or there is no answer.
        """
        text = onnx_reader()(onnx, data, name=name, version=version, scale=scale)
        digests = parse_card(text).files
        with tempfile.TemporaryDirectory(prefix="edgefleet-") as folder:
            card = Path(folder) / CARD_FILE
            card.write_text(text, encoding="utf-8")
            files = {CARD_FILE: sha256_of(card), **digests}
            for given, path in ((CARD_FILE, card), (ONNX_FILE, onnx), (DATA_FILE, data)):
                upload(self._http, path, files[given], given, on_progress)
        return self.register(files)

    def upload(self, path: Path, on_progress: OnUpload | None = None) -> str:
        """Upload a file alone; its sha256, which `register` takes."""
        sha256 = sha256_of(path)
        upload(self._http, path, sha256, path.name, on_progress)
        return sha256

    def register(self, files: Mapping[str, str]) -> ModelView:
        """Register uploaded files: the sha256 of each by its name, model.toml among them."""
        new = NewModel(files=dict(files))
        return self._http.shape(ModelView, "POST", "/models", body=new, timeout_s=REGISTER_S)

    def remove(self, ref: str) -> None:
        """Remove a version that nothing needs any more, with its variants."""
        self._http.answer("DELETE", f"{BASE}{at('/models', ref)}")

    def choices(self, ref: str, limit: int | None = None) -> Iterator[ChoiceView]:
        """What each profile gets of a version, with the reason for and against each variant."""
        return self._http.items(Page[ChoiceView], f"{at('/models', ref)}/choices", limit)

    def explain(self, ref: str, profile: str) -> ExplanationView:
        """Why a profile gets what it gets of a version, and what would flip that."""
        return self._http.shape(ExplanationView, "GET", at_profile(f"{at('/models', ref)}/choices", profile))
