"""Registers, lists and removes models, and gets the variant chosen for each profile."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from os import fstat
from pathlib import Path
from typing import Literal

from edgefleet_contract.card import CARD_FILE, ModelCard, load_card, parse_card
from edgefleet_contract.choices import ChoiceView, ExplanationView
from edgefleet_contract.first_card import CardHints
from edgefleet_contract.models import ModelView, NewModel
from edgefleet_contract.pages import Page
from edgefleet_contract.uploads import BEGINNING_BYTES, FileKind, UploadVerdict, offer
from edgefleet_operator.api.uploads import OnUpload, patience_s, reading, sha256_of, upload
from edgefleet_operator.errors import ApiError, Invalid
from edgefleet_operator.http import BASE, Http, at, at_profile, refusing
from edgefleet_operator.readers import DATA_FILE, ONNX_FILE, onnx_reader, samples_reader, whole_reader

REGISTER_S = 3600.0
"""The controller inspects an ONNX file before it registers it, which may take minutes."""
BEFORE_OFFERS = (404, 405)
"""What a controller of version 0.1 answers to an offer: it judges the files once it has them."""


class Models:
    """`client.models`: registered model versions, written `fashion@1`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, limit: int | None = None) -> Iterator[ModelView]:
        """Iterate over all registered versions, at most `limit`."""
        return self._http.items(Page[ModelView], "/models", limit)

    def get(self, ref: str) -> ModelView:
        """Get a version."""
        return self._http.shape(ModelView, "GET", at("/models", ref))

    def add(self, folder: Path | str, on_progress: OnUpload | None = None) -> ModelView:
        """Upload the files that a folder's model.toml names, and register them; the same files again change nothing.

        Args:
            folder: the folder with the model.toml.
            on_progress: called after each block of a file.

        Raises:
            UnusableFile: the folder has no valid card, or its files don't match the card.
            ApiError: the controller refused the request or didn't answer.
        """
        folder = Path(folder)
        with reading():
            card = load_card(folder)
        files = {CARD_FILE: sha256_of(folder / CARD_FILE), **card.files}
        self._send([(name, folder / name, sha256) for name, sha256 in files.items()], kinds(card), on_progress)
        return self.register(files)

    def add_onnx(
        self,
        onnx: Path | str,
        data: Path | str,
        name: str | None = None,
        version: int = 1,
        *,
        task: str | None = None,
        batch: Literal["guess", "none"] = "guess",
        labels: Sequence[str] = (),
        scale: float | None = None,
        on_progress: OnUpload | None = None,
    ) -> ModelView:
        """Make a card for an ONNX file and its samples, then upload and register all three.

        Args:
            onnx: the ONNX file; weights of it that lie in other files of its folder are packed into what is sent.
            data: the npz file: `x`, or `x_val`, `x_test` and `x_calib`, each optionally with its `y`; or a folder of
                npz files that hold a sample each.
            name: the model's name; None means the file's.
            version: the model's version.
            task: what the model does; None means what its file and samples tell.
            batch: "none" if the model takes each sample whole, whatever its first axis looks like.
            labels: the names of its classes, in the order of its answers.
            scale: factor for the samples; None means 1/255 for uint8 samples of a single float32 input, else 1.
            on_progress: called after each block of a file.

        Raises:
            UnusableFile: the file or the samples cannot be used; the message is one line.
            ReaderMissing: the extra `compression`, which reads ONNX files, is not installed.
            ApiError: the controller refused the request or didn't answer.
        """
        onnx, data = Path(onnx), Path(data)
        hints = CardHints(task=task, batch=batch, labels=tuple(labels), scale=scale)
        with tempfile.TemporaryDirectory(prefix="edgefleet-") as folder:
            with reading():
                onnx = whole_reader()(onnx, Path(folder))
                data = _in_one_file(data, Path(folder))
                text = onnx_reader()(onnx, data, name=name, version=version, hints=hints)
                made = parse_card(text)
            card = Path(folder) / CARD_FILE
            card.write_text(text, encoding="utf-8")
            files = {CARD_FILE: sha256_of(card), **made.files}
            paths = {CARD_FILE: card, ONNX_FILE: onnx, DATA_FILE: data}
            self._send([(name, paths[name], sha256) for name, sha256 in files.items()], kinds(made), on_progress)
        return self.register(files)

    def _send(
        self, files: Sequence[tuple[str, Path, str]], kinds: Mapping[str, FileKind], on_progress: OnUpload | None
    ) -> None:
        """Offer all files, each a name, a path and a digest, and only then upload those that the controller lacks."""
        lacking = [one for one in files if not self._held(one, kinds)]
        for name, path, sha256 in lacking:
            upload(self._http, path, sha256, name, on_progress)

    def _held(self, file: tuple[str, Path, str], kinds: Mapping[str, FileKind]) -> bool:
        name, path, sha256 = file
        try:
            return self.offer(path, sha256, kinds[name]).held
        except Invalid as error:
            raise Invalid(f"'{name}' cannot be taken: {error}", error.status) from None
        except ApiError as error:
            if error.status in BEFORE_OFFERS:
                return False
            raise

    def offer(self, path: Path | str, sha256: str, kind: FileKind) -> UploadVerdict:
        """Ask, by a file's size and beginning, whether the controller would take it and whether it holds it already.

        Args:
            path: the file.
            sha256: its digest.
            kind: what it is for.

        Raises:
            UnusableFile: the file cannot be read.
            ApiError: the controller would not take it, or didn't answer.
        """
        with reading(), Path(path).open("rb") as file:
            offered = offer(kind, fstat(file.fileno()).st_size, file.read(BEGINNING_BYTES))
        patience = patience_s(self._http, offered.size_bytes)
        route = f"{at('/blobs', sha256)}/offer"
        return self._http.shape(UploadVerdict, "POST", route, body=offered, timeout_s=patience)

    def upload(self, path: Path | str, on_progress: OnUpload | None = None) -> str:
        """Upload one file and return its sha256, which `register` takes.

        Raises:
            UnusableFile: the file cannot be read.
            ApiError: the controller refused the request or didn't answer.
        """
        path = Path(path)
        sha256 = sha256_of(path)
        upload(self._http, path, sha256, path.name, on_progress)
        return sha256

    def register(self, files: Mapping[str, str]) -> ModelView:
        """Register uploaded files, given the sha256 of each by name; model.toml must be among them.

        Raises:
            ApiError: the controller refused the request or didn't answer.
        """
        with refusing():
            new = NewModel(files=dict(files))
        return self._http.shape(ModelView, "POST", "/models", body=new, timeout_s=REGISTER_S)

    def remove(self, ref: str) -> None:
        """Remove a version and its variants, if nothing needs it."""
        self._http.answer("DELETE", f"{BASE}{at('/models', ref)}")

    def choices(self, ref: str, limit: int | None = None) -> Iterator[ChoiceView]:
        """Iterate over the choices for all profiles, each with the reasons for and against the variants."""
        return self._http.items(Page[ChoiceView], f"{at('/models', ref)}/choices", limit)

    def explain(self, ref: str, profile: str) -> ExplanationView:
        """Explain which variant a profile gets and why, and what would flip the choice."""
        return self._http.shape(ExplanationView, "GET", at_profile(f"{at('/models', ref)}/choices", profile))


def _in_one_file(data: Path, folder: Path) -> Path:
    """The data file; samples that lie in a file each are packed into one."""
    if not data.is_dir():
        return data
    packed = folder / DATA_FILE
    samples_reader()(data, packed)
    return packed


def kinds(card: ModelCard) -> dict[str, FileKind]:
    """What each file of a card is for, by name."""
    of: list[tuple[str | None, FileKind]] = [
        (CARD_FILE, "card"),
        (card.onnx.file if card.onnx else None, "onnx"),
        (card.weights.file if card.weights else None, "weights"),
        (card.data.file, "data"),
    ]
    return {name: kind for name, kind in of if name}
