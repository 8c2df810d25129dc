"""The power is cut at every sync of an attempt: the device goes on from what the disk kept, and loses no variant."""

import json
import os
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.agent.scripted import ScriptedWire
from tests.power import Disk

from edgefleet_agent.device import Device
from edgefleet_agent.events import Unpacked
from edgefleet_agent.fetch import Fetcher
from edgefleet_agent.identity import wake
from edgefleet_agent.installation import Installation
from edgefleet_agent.journal import Journal
from edgefleet_agent.lifecycle import on_the_way
from edgefleet_agent.measured_link import MeasuredLink
from edgefleet_agent.records import InstalledModel, RecordFile
from edgefleet_agent.slots import Slots
from edgefleet_agent.windows import DeviceWindows
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol import topics
from edgefleet_protocol.chunks import Bitmap, frame
from edgefleet_protocol.messages import Attempt, DesiredModel, Facts, Slot

LINK = "lab"
FACTS = Facts(
    **{"hardware": "x", "region": "eu", "link": LINK, "arch": "x86_64", "isa": frozenset({"avx2"})},
    **{"cores": 1, "ram_mb": 1, "onnxruntime": "99.0"},
)
ORDER = ("committed", "notified", "downloading", "verified", "staged")
MAX_TURNS = 200


class Run:
    """An agent without a broker or a worker, from its start until the new variant is staged."""

    def __init__(self, folder: Path, blobs: dict[str, bytes]) -> None:
        self._wire, self._blobs = ScriptedWire(), blobs
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._fetcher = Fetcher(self._wire, LINK, 3600.0, draw=lambda: 0.0)
        wake(folder)
        self.records, self.slots, self.sent = RecordFile(folder), Slots(folder), 0
        link = load_catalogue().link["ethernet"]
        device = Device(
            **{"folder": folder, "facts": FACTS, "link": MeasuredLink(folder, link), "records": self.records},
            **{
                "journal": Journal(folder),
                "slots": self.slots,
                "fetcher": self._fetcher,
                "windows": DeviceWindows(folder),
                "post": self._events.put,
            },
        )
        self._model = Installation("pets", device, lambda *_: None)

    def until_staged(self, desired: DesiredModel) -> None:
        """Go on from what the folder holds, and take `desired`, as after a start."""
        record = self.records.models["pets"]
        if on_the_way(record.attempt.phase):
            self._model._resume(record)
        self._model.desire(desired)
        for _ in range(MAX_TURNS):
            if self._phase not in ORDER[1:4]:
                return
            self._turn()
        raise AssertionError(f"still {self._phase}")

    @property
    def _phase(self) -> str:
        return self.records.models["pets"].attempt.phase

    def _turn(self) -> None:
        for topic in self._wire.topics:
            self._fetcher.listening(topic)
        self._fetcher.tick()
        wants, self._wire.wants = self._wire.wants, []
        for want in wants:
            data = self._blobs[want.blob]
            for index in Bitmap.from_text(want.chunks, want.missing):
                part = data[index * want.chunk_bytes : (index + 1) * want.chunk_bytes]
                self.sent += 1
                self._fetcher.chunk(topics.blob(want.blob, LINK), frame(index, part))
        if self._phase == "verified":
            event = self._events.get(timeout=10)
            assert isinstance(event, Unpacked)
            self._model.unpacked(event)


def leave_committed(folder: Path, variant: Any) -> None:
    """A device on which one variant is committed, all of it on the disk."""
    variant.place(folder / "slots")
    desired = variant.desired(1)
    slot = Slot(variant=variant.id, manifest=desired.manifest, model_version=1, generation=1)
    attempt = Attempt(generation=1, manifest=desired.manifest, variant=variant.id, phase="committed")
    record = InstalledModel(desired=desired, attempt=attempt, answering=variant.id, slots={variant.id: slot})
    RecordFile(folder).save("pets", record)


@pytest.mark.parametrize("names_survive", [False, True], ids=["names-are-lost", "names-survive"])
def test_after_a_power_cut_at_any_sync_the_device_goes_on_and_still_has_its_old_variant(
    tmp_path: Path, make_variant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, names_survive: bool
) -> None:
    old, new = make_variant(seed=1), make_variant(seed=2, padding_bytes=40_000)
    folder, cuts = tmp_path / "device", []
    leave_committed(folder, old)
    disk = Disk(folder, lambda: cuts.append(tmp_path / f"cut{len(cuts)}") or lay_down(cuts[-1]))

    def lay_down(target: Path) -> None:
        disk.after_cut(target, names_survive=names_survive)
        journal = folder / "journal.jsonl"
        saved = json.loads(journal.read_text().splitlines()[-1])["phase"] if journal.exists() else "committed"
        target.with_suffix(".saved").write_text(saved)

    desired = new.desired(2, activate=False)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    Run(folder, new.blobs).until_staged(desired)
    disk.close()
    monkeypatch.setattr(os, "fsync", lambda _: None)
    assert len(cuts) > 40
    for cut in cuts:
        come_back(cut, cut.with_suffix(".saved").read_text(), old, new, desired)


def come_back(cut: Path, saved: str, old: Any, new: Any, desired: DesiredModel) -> None:
    """Start on what a power cut left: nothing that was saved is forgotten, and the attempt comes to its end."""
    run = Run(cut, new.blobs)
    record = run.records.models.get("pets")
    assert record and run.records.set_aside is None, f"{cut.name}: {run.records.set_aside}"
    assert ORDER.index(record.attempt.phase) >= ORDER.index(saved), f"{cut.name}: {saved} had been saved"
    assert record.answering == old.id and run.slots.intact(old.id), f"{cut.name}: the old variant is damaged"
    run.until_staged(desired)
    ended = run.records.models["pets"].attempt
    assert ended.phase == "staged" and run.slots.intact(new.id), f"{cut.name} after {saved}: {ended.detail}"
