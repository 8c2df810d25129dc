"""Slots: variants on disk, as `slots/VARIANT/{model.onnx,manifest.json,golden.npz,answers}`; one rename makes each."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from edgefleet_agent.errors import Rejected
from edgefleet_agent.failpoints import reach
from edgefleet_agent.files import replace_file
from edgefleet_process.durable import sync, write_blocks, write_synced
from edgefleet_process.reading import digest_of_file
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.errors import CorruptBlob, ProtocolError
from edgefleet_protocol.manifest import BlobRef, Manifest, verify
from edgefleet_protocol.messages import decode

MODEL, MANIFEST, GOLDEN, ANSWERS = "model.onnx", "manifest.json", "golden.npz", "answers"


class Slots:
    """The slots of one device, of all its models."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "slots"
        self._folder.mkdir(exist_ok=True)

    def path(self, variant: str) -> Path:
        """The folder of a variant."""
        return self._folder / variant

    def manifest(self, variant: str) -> Manifest | None:
        """The manifest of a variant; None if the slot is missing or its manifest has changed on disk."""
        try:
            data = (self.path(variant) / MANIFEST).read_bytes()
            manifest = verify(data, digest(data))
        except (OSError, ProtocolError):
            return None
        return manifest if manifest.variant == variant else None

    def intact(self, variant: str) -> bool:
        """Whether a variant has a slot whose files still match its manifest."""
        manifest = self.manifest(variant)
        return manifest is not None and self.holds(manifest)

    def holds(self, manifest: Manifest) -> bool:
        """Whether the slot of a manifest's variant has all files that this manifest names."""
        slot = self.path(manifest.variant)
        beside = {MODEL: manifest.core.onnx, **beside_model(manifest)}
        return all(_is(slot / name, ref.sha256) for name, ref in beside.items())

    def names(self, name: str, sha256: str) -> bool:
        """Whether a slot of any model names such a file, without a look at the file."""
        return next(self._naming(name, sha256), None) is not None

    def holding(self, name: str, sha256: str) -> Path | None:
        """A file of a slot of any model, by its name there and its digest; None if none holds it undamaged."""
        return next((path for path in self._naming(name, sha256) if _is(path, sha256)), None)

    def _naming(self, name: str, sha256: str) -> Iterator[Path]:
        for slot in sorted(self._folder.iterdir()):
            manifest = self.manifest(slot.name)
            named = manifest and {MODEL: manifest.core.onnx, **beside_model(manifest)}.get(name)
            if named and named.sha256 == sha256:
                yield slot / name

    def place(self, manifest_bytes: bytes, beside: Mapping[str, bytes], model: Iterable[bytes], scratch: Path) -> None:
        """Write a model, verify it, and make a slot of it.

        Args:
            manifest_bytes: the variant's verified manifest.
            beside: its other files, by name.
            model: the ONNX file, block by block; it is never wholly in memory.
            scratch: a folder on the same disk, to prepare the slot in.

        Raises:
            Rejected: blob_corrupt, the model does not match its manifest; no_space.
        """
        manifest = decode(Manifest, manifest_bytes)
        onnx = manifest.core.onnx
        ready = scratch / "slot"
        shutil.rmtree(ready, ignore_errors=True)
        try:
            ready.mkdir()
            found = write_blocks(ready / MODEL, model)
            if found != onnx.sha256:
                raise CorruptBlob(f"the model's sha256 is {found}, not {onnx.sha256}")
            reach("model_unfolded")
            write_synced(ready / MANIFEST, manifest_bytes)
            for name, data in beside.items():
                write_synced(ready / name, data)
            sync(ready)
            reach("slot_synced")
            shutil.rmtree(self.path(manifest.variant), ignore_errors=True)
            reach("slot_cleared")
            ready.rename(self.path(manifest.variant))
            reach("slot_renamed")
            sync(self._folder)
            reach("slot_placed")
        except CorruptBlob as error:
            raise Rejected("blob_corrupt", str(error)) from None
        except OSError as error:
            raise Rejected("no_space", f"the slot cannot be written: {error.strerror}") from None

    def renew_manifest(self, variant: str, manifest_bytes: bytes) -> None:
        """Replace the manifest in a variant's slot; the same manifest is not written again.

        Raises:
            OSError: the manifest cannot be written.
        """
        if self.manifest_bytes(variant) != manifest_bytes:
            replace_file(self.path(variant) / MANIFEST, manifest_bytes)
        reach("manifest_renewed")

    def manifest_bytes(self, variant: str) -> bytes:
        """The manifest in a variant's slot, byte by byte."""
        return (self.path(variant) / MANIFEST).read_bytes()

    def collect(self, keep: set[str]) -> None:
        """Remove every slot that is not in `keep`."""
        for path in self._folder.iterdir():
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)
                reach("slot_collected")


def beside_model(manifest: Manifest) -> dict[str, BlobRef]:
    """The files of a slot beside model and manifest, by name."""
    named = {GOLDEN: manifest.core.golden, ANSWERS: manifest.answers and manifest.answers.blob}
    return {name: ref for name, ref in named.items() if ref}


def _is(path: Path, sha256: str) -> bool:
    try:
        return digest_of_file(path) == sha256
    except OSError:
        return False
