"""One attempt's download: the manifest, then the small blobs it names, then the encoding; each can be resumed.

What a slot holds of them is taken from there.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from edgefleet_agent.errors import NoSpace, Rejected
from edgefleet_agent.failpoints import reach
from edgefleet_agent.fetch import Fetcher
from edgefleet_agent.files import replace_file
from edgefleet_agent.held_files import HeldFiles
from edgefleet_agent.sinks import FileSink, MemorySink, Sink, synced_chunks
from edgefleet_agent.slots import MODEL, Slots, beside_model
from edgefleet_process.durable import sync
from edgefleet_process.reading import digest_of_file, read_blocks
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import chunk_size
from edgefleet_protocol.encoding import unfold
from edgefleet_protocol.manifest import MAX_MANIFEST_BYTES, BlobRef, Encoding, Manifest
from edgefleet_protocol.messages import Transfer

MANIFEST, HASHES, ENCODING = "manifest.json", "chunk_hashes", "encoding"

OnRejected = Callable[[Rejected], None]


class Download:
    """All blobs of one manifest, collected in a scratch folder named by its digest.

    Args:
        folder: the folder of all downloads.
        manifest: the manifest's digest and size.
        fetcher: fetches blobs.
        at_once: whether it waits for no window.
    """

    def __init__(self, folder: Path, manifest: BlobRef, fetcher: Fetcher, *, at_once: bool = False) -> None:
        self._scratch, self._at_once = folder / manifest.sha256, at_once
        self._manifest, self._fetcher, self._began_s = manifest, fetcher, time.monotonic()
        self._sinks: list[Sink] = []
        self._file: FileSink | None = None
        self._total_bytes, self._stored_bytes = manifest.size_bytes, 0
        self._seconds: float | None = None
        self._stopped = False
        self._manifest_bytes = b""

    def fetch_manifest(self, got: Callable[[bytes], None], failed: OnRejected) -> None:
        """Fetch the manifest's bytes; the caller verifies them.

        A full disk does not fail this: the manifest says how much room is needed.
        """
        if self._manifest.size_bytes > MAX_MANIFEST_BYTES:
            told = f"a manifest of {self._manifest.size_bytes} bytes is too large: at most {MAX_MANIFEST_BYTES}"
            failed(Rejected("manifest_invalid", told))
            return

        def keep(data: bytes) -> None:
            self._manifest_bytes = data
            got(data)

        self._small(self._manifest, MANIFEST, keep, failed, must_keep=False)

    def fetch_rest(
        self, manifest: Manifest, encoding: Encoding, slots: Slots, done: Callable[[], None], failed: OnRejected
    ) -> None:
        """Fetch what no slot holds of golden set, answers and the model: of that the hash list and the encoding."""
        held = HeldFiles(slots, self._scratch)
        try:
            if not (self._scratch / MANIFEST).exists():
                self._keep(MANIFEST, self._manifest_bytes)
            beside = beside_model(manifest).items()
            blobs = {k: ref for k, ref in beside if not (slots.names(k, ref.sha256) and held.take(k, ref.sha256))}
            whole = held.take(MODEL, manifest.core.onnx.sha256)
        except OSError as error:
            failed(NoSpace(f"what a slot holds cannot be taken from there: {error.strerror}"))
            return
        except NoSpace as error:
            failed(error)
            return
        self._total_bytes = sum(ref.size_bytes for ref in (self._manifest, *blobs.values()))
        go_on = done
        if not whole:
            blobs[HASHES] = encoding.chunk_hashes
            self._total_bytes += encoding.chunk_hashes.size_bytes + encoding.blob.size_bytes
            go_on = partial(self._fetch_encoding, encoding, done, failed)
        waiting = set(blobs)

        def here(name: str, _: bytes) -> None:
            waiting.discard(name)
            if not waiting:
                go_on()

        if not blobs:
            go_on()
        for name, blob in blobs.items():
            if self._stopped:
                return
            self._small(blob, name, partial(here, name), failed)

    def _small(
        self, blob: BlobRef, name: str, got: Callable[[bytes], None], failed: OnRejected, must_keep: bool = True
    ) -> None:
        kept = b""
        with suppress(OSError):
            kept = (self._scratch / name).read_bytes()
        if digest(kept) == blob.sha256:
            self._stored_bytes += blob.size_bytes
            got(kept)
            return
        sink = MemorySink(blob)
        self._sinks.append(sink)

        def store() -> None:
            reach("small_blob_received", name)
            try:
                self._keep(name, sink.data())
            except NoSpace as error:
                if must_keep:
                    failed(error)
                    return
            reach("small_blob_stored", name)
            got(sink.data())

        self._fetcher.start(sink, store, failed, at_once=self._at_once)

    def _keep(self, name: str, data: bytes) -> None:
        try:
            for folder in (self._scratch.parent, self._scratch):
                if not folder.exists():
                    folder.mkdir()
                    sync(folder.parent)
            replace_file(self._scratch / name, data)
        except OSError as error:
            raise NoSpace(f"{name} cannot be written: {error.strerror}") from None

    def _fetch_encoding(self, encoding: Encoding, done: Callable[[], None], failed: OnRejected) -> None:
        try:
            hashes = (self._scratch / HASHES).read_bytes()
            self._file = file = FileSink(self._scratch / ENCODING, encoding, hashes, self._began_s)
        except Rejected as error:
            failed(error)
            return
        except OSError as error:
            failed(NoSpace(f"the encoding's file cannot be created: {error.strerror}"))
            return
        self._sinks.append(file)

        def finish() -> None:
            try:
                file.sync(force=True)
            except OSError as error:
                failed(NoSpace(f"the download cannot be synced: {error.strerror}"))
                return
            reach("download_complete")
            self._seconds = file.seconds
            done()

        self._fetcher.start(file, finish, failed, at_once=self._at_once)

    @property
    def held(self) -> bool:
        """Whether it waits for its window."""
        return any(self._fetcher.is_held(sink) for sink in self._sinks)

    @property
    def transfer(self) -> Transfer:
        """The progress so far."""
        seconds = self._seconds if self._seconds is not None else self._file.seconds if self._file else 0.0
        return Transfer(
            bytes_total=self._total_bytes,
            bytes_done=self._stored_bytes + sum(_received_bytes(sink) for sink in self._sinks),
            seconds=round(seconds, 3),
            wants=sum(sink.wants for sink in self._sinks),
            wrong_chunks=sum(sink.wrong for sink in self._sinks),
        )

    def stop(self) -> None:
        """Stop fetching; what is on the disk stays for another attempt at the same manifest."""
        self._stopped = True
        for sink in self._sinks:
            self._fetcher.stop(sink)
        if self._file:
            self._file.close()
            self._file = None


def _received_bytes(sink: Sink) -> int:
    received, last = sink.received, sink.received.count - 1
    short = sink.chunk_bytes - chunk_size(last, sink.blob.size_bytes, sink.chunk_bytes) if last in received else 0
    return len(received) * sink.chunk_bytes - short


def synced_chunks_of(folder: Path, manifest: str) -> int:
    """How many chunks of an attempt's encoding are safe on the disk."""
    return synced_chunks(folder / manifest / ENCODING)


def held_bytes_of(folder: Path, manifest: str) -> int:
    """How much disk space an attempt's encoding takes already."""
    try:
        return (folder / manifest / ENCODING).stat().st_blocks * 512
    except OSError:
        return 0


def unpack(folder: Path, manifest: str, slots: Slots) -> None:
    """Verify a finished download and make a slot of it.

    Args:
        folder: the folder of all downloads.
        manifest: the digest of the attempt's manifest.
        slots: where the slot goes.

    Raises:
        Rejected: blob_corrupt or no_space.
    """
    scratch = folder / manifest
    try:
        manifest_bytes = (scratch / MANIFEST).read_bytes()
        wanted = Manifest.model_validate_json(manifest_bytes)
        whole = (scratch / MODEL).exists()
        encoded = None if whole else digest_of_file(scratch / ENCODING)
        beside = {name: (scratch / name).read_bytes() for name in beside_model(wanted)}
    except (OSError, ValueError) as error:
        raise Rejected("blob_corrupt", f"the download cannot be read back: {error}") from None
    if not whole and encoded not in {encoding.blob.sha256 for encoding in wanted.encodings}:
        raise Rejected("blob_corrupt", f"the encoding's sha256 is {encoded}, which the manifest does not list")
    reach("encoding_verified")
    # Copied, so that what damages one slot's file leaves the other's alone.
    unfolded = unfold(read_blocks(scratch / ENCODING), wanted.core.onnx.size_bytes)
    slots.place(manifest_bytes, beside, read_blocks(scratch / MODEL) if whole else unfolded, scratch)


def forget(folder: Path, keep: set[str]) -> None:
    """Remove every download except those of the manifests in `keep`."""
    for path in folder.glob("*"):
        if path.name not in keep:
            shutil.rmtree(path, ignore_errors=True)
