"""Housekeeping: rolls up and deletes old telemetry windows, and removes blobs that nothing names."""

import json
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefleet_controller.clock import file_ms, now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.trouble import log_failure
from edgefleet_protocol.manifest import MAX_MANIFEST_BYTES

log = logging.getLogger(__name__)

EACH_S = 60.0
BLOBS_EACH_S = 3600.0
MARGIN_MS = 5 * 60_000
"""How long after its end an hour is rolled up: most windows have arrived by then, and late ones are added."""
SLICE = 250
"""Windows per transaction; the writer waits at most for one slice, 0.1 to 0.25 s."""
BREATH_S = 0.005
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Retention:
    """How long things are kept: windows in hours after arrival, the rest in days; `grace_s` protects uploads."""

    windows_h: float = 48
    rollups_days: float = 90
    cache_days: float = 30
    grace_s: float = 3600


@dataclass(frozen=True)
class Cutoffs:
    """Milliseconds UTC; anything older is rolled up or removed."""

    roll_up_ms: int
    windows_ms: int
    rollups_ms: int
    blobs_ms: int
    cache_ms: int


def cutoffs(retention: Retention, now: int) -> Cutoffs:
    """The cutoffs at `now`; an hour is rolled up only once it and a margin have passed."""
    return Cutoffs(
        roll_up_ms=(now - MARGIN_MS) // HOUR_MS * HOUR_MS,
        windows_ms=now - round(retention.windows_h * HOUR_MS),
        rollups_ms=now - round(retention.rollups_days * 24 * HOUR_MS),
        blobs_ms=now - round(retention.grace_s * 1000),
        cache_ms=now - round(retention.cache_days * 24 * HOUR_MS),
    )


def named_in(manifest: bytes) -> set[str]:
    """Every digest in a manifest, including those in fields that only newer versions know.

    Raises:
        ValueError: the manifest is not JSON.
    """
    found: set[str] = set()
    waiting: list[Any] = [json.loads(manifest)]
    while waiting:
        match waiting.pop():
            case str(text) if _DIGEST.fullmatch(text):
                found.add(text)
            case dict(fields):
                waiting.extend(fields.values())
            case list(entries):
                waiting.extend(entries)
    return found


def unnamed(written_ms: Mapping[str, int], known: Iterable[str], named: set[str], before_ms: int) -> list[str]:
    """The blobs to remove.

    Args:
        written_ms: the blobs on disk, and when each was last put or kept.
        known: the blobs in the store; those without a file are removed there.
        named: what must stay.
        before_ms: younger blobs stay too, as they may be named soon.
    """
    old = {name for name, at in written_ms.items() if at < before_ms}
    return sorted((old | (set(known) - set(written_ms))) - named)


class Housekeeping:
    """One thread that does housekeeping in small steps.

    Args:
        store: the store.
        blobs: the blobs on disk.
        stale: folders whose subfolders are removed when old: the build cache and the builds' work folders.
        retention: how long things are kept.
        clock: milliseconds UTC.
        file_clock: milliseconds UTC, comparable to file times.
    """

    def __init__(
        self,
        store: Store,
        blobs: BlobFolder,
        stale: Iterable[Path] = (),
        retention: Retention | None = None,
        clock: Callable[[], int] = now_ms,
        file_clock: Callable[[], int] = file_ms,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._stale = tuple(stale)
        self._retention = retention or Retention()
        self._clock, self._file_clock = clock, file_clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current slice of work."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        blobs_at = time.monotonic() + EACH_S
        while not self._stopped.wait(EACH_S):
            self._try(self.telemetry)
            if time.monotonic() >= blobs_at:
                # On a full disk the roll-ups fail, but this makes room.
                self._try(self.collect)
                blobs_at = time.monotonic() + BLOBS_EACH_S

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            # Nothing is left half done, and the next round starts over.
            log_failure(log, error, "housekeeping failed")

    def telemetry(self) -> None:
        """Roll up the hours that are over, and delete what is past its retention."""
        lines, rollups = cutoffs(self._retention, self._clock()), self._store.telemetry.rollups
        self._in_slices(lambda: rollups.roll_up(lines.roll_up_ms, SLICE))
        self._in_slices(lambda: rollups.forget_windows(lines.windows_ms, lines.rollups_ms, SLICE))
        rollups.forget_rollups(lines.rollups_ms)
        self._store.fleet.alerts.forget(lines.rollups_ms)

    def _in_slices(self, work: Callable[[], int]) -> None:
        """Repeat until a slice is not full, letting other writers in between."""
        while work() == SLICE and not self._stopped.wait(BREATH_S):
            pass

    def collect(self) -> list[str]:
        """Remove blobs that nothing names and old build folders; returns the names of the removed blobs.

        Nothing is removed while a build runs, since what it will name is not recorded yet.
        """
        lines, references = cutoffs(self._retention, self._file_clock()), self._store.fleet.references
        if references.building():
            return []
        written, known = dict(self._blobs.written_ms()), references.blobs()
        named = self._named()
        if named is None:
            return []
        unneeded = unnamed(written, known, named, lines.blobs_ms)
        gone = [name for name in unneeded if self._blobs.remove(name, lines.blobs_ms, references.forget_blob)]
        self._blobs.sweep(lines.blobs_ms)
        for folder in () if references.building() else self._stale:
            remove_old_folders(folder, lines.cache_ms)
        if gone:
            log.info("removed %d blobs that nothing named", len(gone))
        return gone

    def _named(self) -> set[str] | None:
        """The blobs that must stay; None if a manifest cannot be read, so that they cannot be known."""
        references = self._store.fleet.references
        ours, reported = references.manifests(), references.reported_manifests()
        named = references.model_files() | references.answers() | ours | reported
        for name in ours | reported:
            inside = self._named_in(name)
            # A device may report any manifest; only a damaged one of our own is a reason not to collect.
            if inside is None and name in ours:
                log.error("manifest %s is missing or damaged: no blobs are removed until it is restored", name)
                return None
            named |= inside or set()
        return named

    def _named_in(self, name: str) -> set[str] | None:
        path = self._blobs.path(name)
        try:
            sound = path.stat().st_size <= MAX_MANIFEST_BYTES and self._blobs.is_whole(name)
            return named_in(path.read_bytes()) if sound else None
        except (OSError, ValueError):
            return None


def remove_old_folders(parent: Path, before_ms: int) -> None:
    """Remove subfolders older than `before_ms`; in a build cache, move them to `partial` first.

    This way a reader sees a whole entry or none, and the next build sweeps what a kill leaves behind.
    """
    apart = {"partial", "locks"}
    for folder in parent.glob("*"):
        with suppress(OSError):
            if folder.name in apart or not folder.is_dir() or folder.stat().st_mtime_ns // 1_000_000 >= before_ms:
                continue
            if (partial := parent / "partial").is_dir():
                folder = folder.rename(partial / folder.name)
            shutil.rmtree(folder, ignore_errors=True)
