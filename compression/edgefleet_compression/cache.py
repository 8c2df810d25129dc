"""What steps made, by the digest of all that went into it; shared by workers, and safe when one is killed.

An entry is a folder. It is filled under another name and renamed when complete, so that a reader sees a whole
entry or none. A worker that wants what another is making waits for it on a lock, which the system releases when
its holder dies; without the lock two workers would train the same prefix twice, and nothing worse.
"""

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgefleet_compression.heartbeat import beat
from edgefleet_process.durable import sync
from edgefleet_process.locks import FileLock
from edgefleet_process.reading import digest_of_file
from edgefleet_protocol.canonical import canonical_json

ENTRY = "entry.json"
LEDGER = "ledger.jsonl"
LOOK_S = 0.1
ABANDONED_S = 24 * 3600
LIBRARIES = ("torch", "torch-pruning", "onnx", "onnxscript", "onnxruntime", "numpy")


def library_versions() -> dict[str, str]:
    """The versions of the libraries that decide what a step makes."""
    return {name: _version(name) for name in LIBRARIES}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"


@dataclass(frozen=True)
class LedgerLine:
    """A step that really ran, by its name and its key in the cache."""

    step: str
    key: str
    seconds: float


class Cache:
    """A folder of entries, each named by its key, a sha256 in hex."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, made where it is missing."""
        self._folder = folder
        for part in (folder, folder / "locks", folder / "partial"):
            part.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def get(self, key: str) -> Path | None:
        """The folder of an entry, or None; one that has lost or changed a byte is dropped, and made again."""
        folder = self._folder / key
        try:
            digests: dict[str, str] = json.loads((folder / ENTRY).read_bytes())
            if all(digest_of_file(folder / name) == digest for name, digest in digests.items()):
                return folder
        except FileNotFoundError:
            if not folder.exists():
                return None
        except (OSError, ValueError):
            pass
        self._drop(folder)
        return None

    def put(self, key: str, fill: Callable[[Path], None]) -> Path:
        """Make an entry of the files that `fill` writes into the folder it is given, and return its folder."""
        partial = self._folder / "partial" / uuid.uuid4().hex
        partial.mkdir()
        try:
            fill(partial)
            digests = {path.name: digest_of_file(path) for path in sorted(partial.iterdir())}
            (partial / ENTRY).write_bytes(canonical_json(digests))
            for path in partial.iterdir():
                sync(path)
            try:
                partial.rename(self._folder / key)
            except OSError:
                # Another worker was quicker: its entry is as good, and a folder that isn't empty stays.
                if self.get(key) is None:
                    raise
            return self._folder / key
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def get_or_put(
        self, key: str, fill: Callable[[Path], None], waiting: Callable[[], None] | None = None
    ) -> tuple[Path, bool]:
        """The folder of an entry, made now if it is missing, and whether it was there.

        Args:
            key: the entry's key.
            fill: writes the entry's files into the folder it is given; at most one worker runs it at a time.
            waiting: called once if another worker is making this entry.
        """
        if (found := self.get(key)) is not None:
            return found, True
        with self._locked(key, waiting):
            if (found := self.get(key)) is not None:
                return found, True
            return self.put(key, fill), False

    def note(self, line: LedgerLine) -> None:
        """Write down that a step really ran, in the ledger that all workers share."""
        with (self._folder / LEDGER).open("ab") as ledger:  # appended in one write: lines of two workers never mix
            ledger.write(canonical_json(asdict(line)) + b"\n")

    def ledger(self) -> list[LedgerLine]:
        """Every step that really ran with this cache, oldest first."""
        try:
            lines = (self._folder / LEDGER).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # the last one, of a worker that was killed as it wrote
                known = json.loads(line)
                found.append(LedgerLine(known["step"], known["key"], known["seconds"]))
        return found

    @contextmanager
    def _locked(self, key: str, waiting: Callable[[], None] | None) -> Iterator[None]:
        with FileLock(self._folder / "locks" / key) as lock:
            if not lock.try_take() and waiting is not None:
                waiting()
            while not lock.try_take():  # taken already, or as soon as its holder is done or gone
                beat()  # the holder is watched
                time.sleep(LOOK_S)
            yield

    def _sweep(self) -> None:
        """Delete what killed workers left half made; no step takes as long as what is old here."""
        for partial in (self._folder / "partial").iterdir():
            with suppress(FileNotFoundError):
                if time.time() - partial.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(partial, ignore_errors=True)

    def _drop(self, folder: Path) -> None:
        """Take an entry away at once, by a rename, and only then delete it."""
        away = self._folder / "partial" / uuid.uuid4().hex
        try:
            folder.rename(away)
        except FileNotFoundError:
            return
        shutil.rmtree(away, ignore_errors=True)


def step_key(
    *,
    input_digest: str,
    step: str,
    revision: int,
    config: dict[str, Any],
    data_digest: str,
    source_digest: str,
    seed: int,
    plugin: dict[str, str] | None = None,
) -> str:
    """The key of a step's result: the sha256 of all that decides it, the libraries' versions included.

    `plugin` is the name and version of the distribution that brings the step; None where it is ours.
    """
    parts: dict[str, Any] = {
        "input": input_digest,
        "step": step,
        "revision": revision,
        "config": config,
        "data": data_digest,
        "source": source_digest,
        "seed": seed,
        "libraries": library_versions(),
    }
    if plugin is not None:
        parts["plugin"] = plugin
    return hashlib.sha256(canonical_json(parts)).hexdigest()
