"""Delivery: wants are checked against registry and catalogue, and damage is found before a rollout."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.delivery.delivery import Delivery
from edgefleet_controller.errors import Refused
from edgefleet_controller.records import ChoiceRecord, VariantRecord
from edgefleet_controller.rollouts.undeliverable import UndeliverableHold, manifests_waited_for
from edgefleet_controller.store import Store
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol import topics
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import SMALL_BLOB_CHUNK_BYTES, Bitmap, parse_frame
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.manifest import BlobRef, Core, Encoding, Manifest
from edgefleet_protocol.messages import ChunkRequest

LINKS = load_catalogue().link
BLOB = bytes(range(256)) * 100
CHUNK = SMALL_BLOB_CHUNK_BYTES


class Bus:
    """Keeps every chunk, by its topic."""

    def __init__(self) -> None:
        self.connected = True
        self.sent: list[tuple[str, int, bytes]] = []

    def publish_chunk(self, topic: str, data: bytes, stop: threading.Event) -> bool:
        got = parse_frame(data)
        self.sent.append((topic, got.index, got.data))
        return True


class Registry:
    """Blobs for devices, and one variant that was chosen."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.manifest = ""
        self.older_manifest: str | None = None

    def deliverable_bytes(self, sha256: str) -> int | None:
        return self.sizes.get(sha256)

    def choices(self, model: str, version: int) -> list[ChoiceRecord]:
        return [ChoiceRecord.model_construct(profile="eu/rpi4/wifi", variant="v")]

    def variants(self, model: str, version: int) -> list[VariantRecord]:
        forms = {"manifest": self.manifest, "manifest_bytes": 0, "older_manifest": self.older_manifest}
        return [VariantRecord.model_construct(id=name, **forms) for name in ("v", "not-chosen")]


class Lab:
    def __init__(self, folder: Path) -> None:
        self.registry, self.blobs, self.bus = Registry(), BlobFolder(folder), Bus()
        self.delivery = Delivery(self.registry, self.blobs, LINKS, self.bus)

    def add(self, data: bytes) -> str:
        name = self.blobs.put(data)
        self.registry.sizes[name] = len(data)
        return name

    def ref(self, data: bytes) -> BlobRef:
        return BlobRef(sha256=self.add(data), size_bytes=len(data))

    def spoil(self, name: str) -> None:
        self.blobs.path(name).write_bytes(b"rotten")

    def publish(self) -> Manifest:
        """A variant whose one encoding is `BLOB`."""
        blob, hashes = self.ref(BLOB), self.ref(b"h" * 16)
        core = Core(onnx=BlobRef(sha256=digest(b"onnx"), size_bytes=4), labels=("a", "b"))
        one = Encoding(kind="zstd", blob=blob, chunk_bytes=CHUNK, chunk_hashes=hashes)
        manifest = Manifest(model="m", model_version=1, recipe="fp32", core=core, encodings=(one,))
        self.registry.manifest = self.add(manifest.to_bytes())
        return manifest


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "blobs")
    yield made
    made.delivery.stop()


def request(blob: str, size_bytes: int, lane: str = "wifi", chunk_bytes: int = CHUNK) -> ChunkRequest:
    chunks = -(-size_bytes // chunk_bytes)
    return ChunkRequest(
        blob=blob, chunk_bytes=chunk_bytes, chunks=chunks, missing=Bitmap.full(chunks).to_text(), lane=lane
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_what_a_device_wants_is_sent_on_its_channel(lab: Lab) -> None:
    blob = lab.add(BLOB)
    lab.delivery.start()
    lab.delivery.want(request(blob, len(BLOB)))
    wait_until(lambda: lab.delivery.delivered_bytes() == {"wifi": len(BLOB)})
    assert b"".join(data for _, _, data in sorted(lab.bus.sent, key=lambda s: s[1])) == BLOB
    assert {topic for topic, _, _ in lab.bus.sent} == {topics.blob(blob, "wifi")}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"blob": "a" * 64}, "no blob"),
        ({"lane": "pigeon"}, "no link 'pigeon'"),
        ({"chunk_bytes": 1024}, "25 chunks of 1024 bytes"),
        ({"size_bytes": len(BLOB) - CHUNK}, "chunks of"),
    ],
)
def test_a_want_that_does_not_fit_is_refused(lab: Lab, fields: dict, told: str) -> None:
    good = {"blob": lab.add(BLOB), "size_bytes": len(BLOB)}
    with pytest.raises(MalformedMessage, match=told):
        lab.delivery.want(request(**good | fields))


def test_a_withdrawn_manifest_and_its_encodings_are_not_sent(lab: Lab) -> None:
    manifest = lab.publish()
    encoding = manifest.encodings[0].blob
    size = lab.registry.sizes[lab.registry.manifest]
    lab.delivery.want(request(lab.registry.manifest, size))
    lab.delivery.want(request(encoding.sha256, encoding.size_bytes))
    lab.delivery.withdraw(lab.registry.manifest)
    other = lab.add(b"another blob")
    lab.delivery.want(request(other, 12))
    lab.delivery.start()
    wait_until(lambda: lab.delivery.delivered_bytes() == {"wifi": 12})
    assert {topic for topic, _, _ in lab.bus.sent} == {topics.blob(other, "wifi")}


def test_damage_is_found_before_any_device_is_told(lab: Lab) -> None:
    manifest = lab.publish()
    lab.delivery.check("m", 1)
    lab.spoil(manifest.encodings[0].blob.sha256)
    with pytest.raises(Refused, match="damaged on the controller's disk: run `edgefleet compress m@1`"):
        lab.delivery.check("m", 1)


def test_damage_is_found_in_the_form_for_older_agents_too(lab: Lab) -> None:
    manifest = lab.publish()
    lab.registry.older_manifest = lab.add(manifest.model_copy(update={"recipe": "in another form"}).to_bytes())
    lab.delivery.check("m", 1)
    lab.spoil(lab.registry.older_manifest)
    with pytest.raises(Refused, match=f"blob {lab.registry.older_manifest} of m@1 is damaged"):
        lab.delivery.check("m", 1)


def test_a_blob_counts_as_damaged_once_a_device_asked_for_it_in_vain(lab: Lab) -> None:
    encoding = lab.publish().encodings[0].blob
    lab.spoil(encoding.sha256)
    assert lab.delivery.damaged() == frozenset()
    lab.delivery.start()
    lab.delivery.want(request(encoding.sha256, encoding.size_bytes))
    wait_until(lambda: lab.delivery.damaged() == {encoding.sha256})
    assert lab.delivery.first_damaged([lab.registry.manifest]) == encoding.sha256
    assert not lab.bus.sent
    lab.add(BLOB)
    assert lab.delivery.damaged() == frozenset()


class Damage:
    """Delivery with one damaged blob that one manifest needs."""

    def damaged(self) -> frozenset[str]:
        return frozenset({"d" * 64})

    def first_damaged(self, manifests: list[str]) -> str | None:
        return "d" * 64 if "c" * 64 in manifests else None


def test_only_a_device_that_still_has_to_fetch_waits_for_a_manifest(execution) -> None:
    phases = ("assigned", "notified", "downloading", "verified", "trial")
    waiting = [execution(phase, phase, generation=1, manifest=f"{n}" * 64) for n, phase in enumerate(phases)]
    untold = execution("untold", "assigned", manifest="f" * 64)
    assert manifests_waited_for([*waiting, untold]) == ["0" * 64, "1" * 64, "2" * 64]


def test_a_rollout_is_paused_when_its_devices_wait_for_a_blob_that_cannot_be_sent(
    store: Store, rollout, execution
) -> None:
    halted: list[tuple[str, str]] = []
    hold = UndeliverableHold(store.fleet, Damage(), lambda *told: halted.append(told))
    store.fleet.rollouts.put(rollout("staging"))
    hold.tick()
    store.fleet.rollouts.put_executions([execution("a", "notified", generation=1)])
    hold.tick()
    [(name, reason)] = halted
    assert name == "01"
    assert reason.startswith(f"blob {'d' * 64} of fashion@1 is damaged") and reason.endswith(", then resume")
