"""The power is cut at every sync of an upload: what stands under a name is whole, what was acknowledged is there."""

import os
from pathlib import Path

import pytest
from tests.power import Disk

from edgefleet_controller.delivery.blobs import BlobFolder

BLOBS = [bytes([number]) * 5000 for number in range(4)]


@pytest.mark.parametrize("names_survive", [False, True], ids=["names-are-lost", "names-survive"])
def test_after_a_power_cut_at_any_sync_every_acknowledged_blob_is_there_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names_survive: bool
) -> None:
    folder, done = tmp_path / "blobs", []
    blobs, cuts = BlobFolder(folder), 0

    def cut() -> None:
        nonlocal cuts
        left = tmp_path / f"cut{cuts}"
        cuts += 1
        disk.after_cut(left, names_survive=names_survive)
        found = BlobFolder(left)
        named = [name for name, _ in found.written_ms()]
        assert all(found.is_whole(name) for name in named), f"cut {cuts}: a damaged blob has a name"
        assert set(done) <= set(named), f"cut {cuts}: an acknowledged blob is gone"

    disk = Disk(folder, cut)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    for data in BLOBS:
        done.append(blobs.put(data))
        cut()
    monkeypatch.undo()
    disk.close()
    assert cuts > 3 * len(BLOBS)
