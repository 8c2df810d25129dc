"""What is old or unneeded goes, and nothing that anybody may still ask for."""

import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.cards import card
from tests.controller.asking import aggregated

from edgefleet_contract.operations import OperationRecord
from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import NotFound, Refused
from edgefleet_controller.housekeeping import (
    Housekeeping,
    Retention,
    cutoffs,
    named_in,
    remove_old_folders,
    unnamed,
)
from edgefleet_controller.models.removal import remove_model
from edgefleet_controller.records import AnswersRecord, ChoiceRecord, DesiredRecord, ModelRecord, VariantRecord
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_protocol.manifest import BlobRef, Core, Encoding, Manifest
from edgefleet_protocol.messages import Attempt, ReportedModel, Slot, TelemetryWindow

DAY_MS = 24 * HOUR_MS


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "blobs")


class House:
    """A store, its blobs, and a clock that is set by hand."""

    def __init__(self, store: Store, blobs: BlobFolder, cache: Path) -> None:
        self.store, self.blobs = store, blobs
        self.now = now_ms()
        self.keeping = Housekeeping(store, blobs, (cache,), clock=self.time, file_clock=self.time)

    def time(self) -> int:
        return self.now

    def put(self, data: bytes, *, deliverable: bool = True) -> BlobRef:
        name = self.blobs.put(data)
        self.store.fleet.registry.put_blob(name, len(data), deliverable=deliverable)
        return BlobRef(sha256=name, size_bytes=len(data))

    def add_model(self, version: int = 1) -> dict[str, str]:
        """A model with one variant; the digests of all its blobs by what they are."""
        named = {part: self.put(f"{part} of {version}".encode()) for part in ("card", "data", "golden", "zstd", "hash")}
        onnx = self.blobs.put(f"onnx of {version}".encode())  # it is built from, never sent: no row
        manifest = Manifest(
            model="fashion",
            model_version=version,
            recipe="fp32",
            core=Core(onnx=BlobRef(sha256=onnx, size_bytes=1), golden=named["golden"]),
            encodings=(Encoding(kind="zstd", blob=named["zstd"], chunk_bytes=4096, chunk_hashes=named["hash"]),),
        )
        files = {"model.toml": named["card"].sha256, "data.npz": named["data"].sha256}
        self.store.fleet.registry.put_model(
            ModelRecord(name="fashion", version=version, files=files, card=card(), created_ms=1)
        )
        ref = self.put(manifest.to_bytes())
        variant = VariantRecord(
            id=manifest.variant,
            model="fashion",
            version=version,
            recipe="fp32",
            title="as it is",
            instruction_sets=(),
            manifest=ref.sha256,
            manifest_bytes=ref.size_bytes,
            delivery_bytes={},
            metrics={},  # type: ignore[arg-type]
            runtime={},
            steps=[],
            created_ms=1,
        )
        choice = ChoiceRecord(model="fashion", version=version, profile="eu/rpi4/lte", variant=variant.id, reasons={})
        self.store.fleet.registry.put_variants([variant], [choice])
        return {**{part: ref.sha256 for part, ref in named.items()}, "onnx": onnx, "manifest": ref.sha256}

    def desire(self, device: str, manifest: str) -> None:
        self.store.fleet.desired.put(
            DesiredRecord(
                device=device,
                model="fashion",
                generation=1,
                manifest=manifest,
                manifest_bytes=1,
                rollout=None,
                activate=True,
                trial_s=1,
            )
        )

    def on_disk(self) -> set[str]:
        return {name for name, _ in self.blobs.written_ms()}


@pytest.fixture
def house(store: Store, blobs: BlobFolder, tmp_path: Path) -> House:
    return House(store, blobs, tmp_path / "cache")


def test_what_models_and_manifests_name_stays(house: House) -> None:
    named = house.add_model()
    house.now += 2 * HOUR_MS
    assert house.keeping.collect() == []
    assert house.on_disk() == set(named.values())


def test_blobs_that_nothing_names_go_from_disk_and_from_the_store(house: House) -> None:
    named = house.add_model()
    orphan = house.put(b"uploaded and never registered").sha256
    house.now += 2 * HOUR_MS
    assert house.keeping.collect() == [orphan]
    assert house.on_disk() == set(named.values())
    assert house.store.fleet.registry.deliverable_bytes(orphan) is None


def test_an_upload_in_progress_stays(house: House) -> None:
    house.put(b"registered in a moment")
    house.now += HOUR_MS - 60_000
    assert house.keeping.collect() == []


def test_an_old_blob_that_is_uploaded_again_stays(house: House) -> None:
    orphan = house.put(b"old").sha256
    long_ago = time.time() - 7200
    for renew in (lambda: house.blobs.keep([orphan]), lambda: house.blobs.put(b"old")):
        os.utime(house.blobs.path(orphan), (long_ago, long_ago))
        renew()
        assert house.keeping.collect() == []
    os.utime(house.blobs.path(orphan), (long_ago, long_ago))
    assert house.keeping.collect() == [orphan]


def test_a_blob_that_is_put_while_it_is_to_be_removed_stays(house: House) -> None:
    orphan = house.put(b"old").sha256
    assert not house.blobs.remove(orphan, house.now - 1000, house.store.fleet.references.forget_blob)
    assert house.store.fleet.registry.deliverable_bytes(orphan) == 3


def test_nothing_goes_while_something_is_built(house: House) -> None:
    orphan = house.put(b"golden set of a build under way").sha256
    house.now += 9 * HOUR_MS
    operation = OperationRecord(id="1", kind="compress", target="fashion@1", created_ms=1, changed_ms=1)
    house.store.fleet.operations.put(operation)
    assert house.keeping.collect() == []
    house.store.fleet.operations.put(operation.model_copy(update={"state": "failed"}))
    assert house.keeping.collect() == [orphan]


def test_kept_answers_stay_with_their_model_and_are_never_delivered(house: House) -> None:
    house.add_model()
    kept = house.put(b"answers", deliverable=False).sha256
    row = AnswersRecord(model="fashion", version=1, variant="", data="d" * 64, asked=1, blob=kept)
    house.store.fleet.registry.put_answers([row])
    house.now += 2 * HOUR_MS
    assert house.keeping.collect() == []
    assert house.store.fleet.registry.deliverable_bytes(kept) is None
    remove_model(house.store.fleet, "fashion", 1)
    assert kept in house.keeping.collect()


def test_what_a_device_should_run_stays_with_all_that_its_manifest_names(house: House) -> None:
    named = house.add_model()
    house.desire("d", named["manifest"])
    house.store.fleet.references.remove_model("fashion", 1)
    house.now += 2 * HOUR_MS
    assert set(house.keeping.collect()) == {named["card"], named["data"]}


@pytest.mark.parametrize("how", ["slot", "attempt"])
def test_what_a_device_says_it_holds_or_fetches_stays(house: House, reported, how: str) -> None:
    named = house.add_model()
    slot = Slot(variant="b" * 64, manifest=named["manifest"], model_version=1, generation=1)
    attempt = Attempt(generation=1, manifest=named["manifest"], phase="downloading")
    model = ReportedModel(slots=(slot,)) if how == "slot" else ReportedModel(attempt=attempt)
    house.store.fleet.devices.put_report("d", reported(models={"fashion": model}), 1)
    house.store.fleet.references.remove_model("fashion", 1)
    house.now += 2 * HOUR_MS
    assert set(house.keeping.collect()) == {named["card"], named["data"]}


def test_a_device_that_reports_what_was_never_ours_holds_nothing_up(house: House, reported) -> None:
    orphan = house.put(b"old").sha256
    slot = Slot(variant="b" * 64, manifest="e" * 64, model_version=1, generation=1)
    house.store.fleet.devices.put_report("d", reported(models={"fashion": ReportedModel(slots=(slot,))}), 1)
    house.now += 2 * HOUR_MS
    assert house.keeping.collect() == [orphan]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"{}")], ids=["gone", "changed"])
def test_nothing_goes_while_a_manifest_cannot_be_read(house: House, damage: Callable[[Path], Any]) -> None:
    named = house.add_model()
    house.put(b"old")
    whole = house.blobs.read(named["manifest"])
    damage(house.blobs.path(named["manifest"]))
    house.now += 2 * HOUR_MS
    assert house.keeping.collect() == []
    house.blobs.put(whole)
    assert len(house.keeping.collect()) == 1


def test_half_written_uploads_go(house: House, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "tmpabc").write_bytes(b"half")
    house.keeping.collect()
    assert (tmp_path / "blobs" / "tmpabc").exists()
    house.now += 2 * HOUR_MS
    house.keeping.collect()
    assert not (tmp_path / "blobs" / "tmpabc").exists()


def test_every_digest_in_a_manifest_counts_also_in_fields_of_a_newer_version() -> None:
    one, other = "1" * 64, "2" * 64
    assert named_in(f'{{"new": [{{"deep": "{one}"}}, 3, null, "x"], "b": "{other}"}}'.encode()) == {one, other}


def test_unnamed_are_old_files_and_rows_without_a_file() -> None:
    assert unnamed({"a": 1, "b": 1, "c": 9}, ["a", "b", "c", "d", "e"], {"b", "e"}, 5) == ["a", "d"]


def test_old_folders_of_the_build_cache_go_by_way_of_partial(tmp_path: Path) -> None:
    for name in ("old", "new", "partial", "locks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
        if name != "new":
            os.utime(tmp_path / name, (0, 0))
    remove_old_folders(tmp_path, 1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "new", "partial"]
    assert [path.name for path in (tmp_path / "partial").iterdir()] == ["file"]
    remove_old_folders(tmp_path / "nowhere", 1000)


def test_a_damaged_manifest_is_not_given_out_until_it_is_whole_again(blobs: BlobFolder) -> None:
    data = b"x" * 100_000
    name = blobs.put(data)
    assert blobs.read_chunk(name, 1, 4096) == data[4096:8192]
    assert blobs.read_chunk(name, 99, 4096) is None
    blobs.path(name).write_bytes(b"y" + data[1:])
    assert blobs.read_chunk(name, 1, 4096) is None
    assert not blobs.is_whole(name)
    assert blobs.put(data) == name
    assert blobs.read_chunk(name, 1, 4096) == data[4096:8192]


def test_bits_that_rot_while_a_blob_is_being_sent_are_found_though_its_file_looks_the_same(blobs: BlobFolder) -> None:
    data = os.urandom(300_000)
    name = blobs.put(data)
    assert blobs.read_chunk(name, 3, 65536) == data[3 * 65536 : 4 * 65536]
    assert blobs.damaged == set()
    path = blobs.path(name)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(3 * 65536)
        file.write(bytes([data[3 * 65536] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert blobs.read_chunk(name, 3, 65536) is None
    assert blobs.damaged == {name}
    assert blobs.read_chunk(name, 0, 65536) is None, "nothing more of it is sent"
    assert blobs.put(data) == name
    assert blobs.damaged == set()
    assert blobs.read_chunk(name, 3, 65536) == data[3 * 65536 : 4 * 65536]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 65536)], ids=["gone", "truncated"])
def test_a_blob_that_is_gone_or_short_is_damaged_until_it_is_put_back(
    blobs: BlobFolder, damage: Callable[[Path], Any]
) -> None:
    data = os.urandom(300_000)
    name = blobs.put(data)
    assert blobs.read_chunk(name, 0, 65536)
    damage(blobs.path(name))
    assert blobs.read_chunk(name, 0, 65536) is None
    assert blobs.damaged == {name}
    blobs.path(name).write_bytes(data)  # from a backup, by hand
    assert blobs.damaged == set()
    assert blobs.read_chunk(name, 0, 65536) == data[:65536]


def test_a_blob_is_read_chunk_by_chunk(blobs: BlobFolder) -> None:
    data = os.urandom(300_000)
    name = blobs.put(data)
    assert blobs.read_chunk(name, 3, 65536) == data[3 * 65536 : 4 * 65536]
    assert name == sha256(data).hexdigest()


def test_a_model_that_nobody_needs_is_removed_and_its_blobs_follow(house: House) -> None:
    first, second = house.add_model(1), house.add_model(2)
    remove_model(house.store.fleet, "fashion", 1)
    assert [m.version for m in house.store.fleet.registry.models()] == [2]
    assert [v.version for v in house.store.fleet.registry.variants()] == [2]
    assert house.store.fleet.registry.choices("fashion", 1) == []
    house.now += 2 * HOUR_MS
    assert set(house.keeping.collect()) == set(first.values()) - set(second.values())
    with pytest.raises(NotFound):
        remove_model(house.store.fleet, "fashion", 1)


def test_a_model_that_devices_should_run_is_not_removed(house: House) -> None:
    named = house.add_model()
    house.desire("d1", named["manifest"])
    house.desire("d2", named["manifest"])
    with pytest.raises(Refused, match="d1 and 1 more should run fashion@1"):
        remove_model(house.store.fleet, "fashion", 1)


@pytest.mark.parametrize("state", ["draft", "scheduled", "running", "paused", "rolling_back"])
def test_a_model_of_a_rollout_in_progress_is_not_removed(house: House, rollout, state: str) -> None:
    house.add_model()
    house.store.fleet.rollouts.put(rollout("staging").model_copy(update={"state": state}))
    with pytest.raises(Refused, match="rollout 01"):
        remove_model(house.store.fleet, "fashion", 1)
    house.store.fleet.rollouts.put(rollout("passed").model_copy(update={"state": "completed"}))
    remove_model(house.store.fleet, "fashion", 1)


def test_a_model_that_a_rollout_may_go_back_to_is_not_removed(house: House, rollout, execution) -> None:
    named = house.add_model(1)
    house.add_model(2)
    going = rollout("staging")
    house.store.fleet.rollouts.put(going.model_copy(update={"spec": going.spec.model_copy(update={"version": 2})}))
    house.store.fleet.rollouts.put_executions([execution("d", previous_manifest=named["manifest"])])
    with pytest.raises(Refused, match="rollout 01"):
        remove_model(house.store.fleet, "fashion", 1)


def test_a_model_that_is_being_compressed_is_not_removed(house: House) -> None:
    house.add_model()
    operation = OperationRecord(id="1", kind="compress", target="fashion@1", created_ms=1, changed_ms=1)
    house.store.fleet.operations.put(operation)
    with pytest.raises(Refused, match="being compressed"):
        remove_model(house.store.fleet, "fashion", 1)


def window(seq: int) -> TelemetryWindow:
    return TelemetryWindow(
        incarnation="0" * 32,
        seq=seq,
        first_kept_seq=1,
        model="fashion",
        model_version=1,
        variant="a" * 64,
        generation=1,
        duration_ms=1,
        requests=1,
    )


def test_windows_go_after_two_days_and_roll_ups_after_ninety(house: House) -> None:
    start = house.now
    house.store.telemetry.windows.put([StoredWindow("d", window(seq), None, start) for seq in range(1, 601)])

    def after(ms: int) -> tuple[int, int]:
        house.now = start + ms
        house.keeping.telemetry()
        return house.store.telemetry.windows.count(), sum(
            a.counters.serving.requests for a in aggregated(house.store.telemetry, ())
        )

    assert after(0) == (600, 600)
    assert house.store.telemetry.rollups.count() == 0
    assert after(2 * HOUR_MS) == (600, 600)
    assert house.store.telemetry.rollups.count() == 2
    assert after(48 * HOUR_MS - 1) == (600, 600)
    assert after(48 * HOUR_MS + 1) == (0, 600)
    assert after(90 * DAY_MS - 1) == (0, 600)
    assert after(91 * DAY_MS + 1) == (0, 0)


def test_only_hours_that_are_over_and_a_margin_are_rolled_up() -> None:
    hour = 500_000 * HOUR_MS
    assert cutoffs(Retention(), hour + 4 * 60_000).roll_up_ms == hour - HOUR_MS
    assert cutoffs(Retention(), hour + 6 * 60_000).roll_up_ms == hour


def test_housekeeping_ends_at_once(house: House) -> None:
    house.keeping.start()
    began = time.monotonic()
    house.keeping.stop()
    assert time.monotonic() - began < 5
