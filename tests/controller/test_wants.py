"""A device is sent what it was told of, on its own channel, and nothing else."""

from pathlib import Path

import pytest

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.fleet.wants import AllowedWants
from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.store import Store
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.manifest import BlobRef, Core, Encoding, Manifest
from edgefleet_protocol.messages import ChunkRequest


def ref(data: bytes) -> BlobRef:
    return BlobRef(sha256=digest(data), size_bytes=len(data))


HASHES, WIRE, GOLDEN = ref(b"h" * 16), ref(b"wire"), ref(b"golden")
ENCODING = Encoding(kind="zstd", blob=WIRE, chunk_bytes=4096, chunk_hashes=HASHES)
MANIFEST = Manifest(
    model="m", model_version=1, recipe="fp32", core=Core(onnx=ref(b"o"), golden=GOLDEN), encodings=(ENCODING,)
)


class Fleet:
    """A device `d` of the profile eu/rpi4/lte that was told of `MANIFEST`, and what is allowed to it."""

    def __init__(self, store: Store, blobs: BlobFolder, reported) -> None:
        self.store, self.blobs = store, blobs
        self.manifest = blobs.put(MANIFEST.to_bytes())
        self.allowed = AllowedWants(store.fleet, blobs)
        store.fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=0))
        store.fleet.devices.put_report("d", reported(), 1)
        self.tell(self.manifest)

    def tell(self, manifest: str | None, generation: int = 1) -> None:
        self.store.fleet.desired.put(
            DesiredRecord(
                **{"device": "d", "model": "m", "generation": generation, "manifest": manifest},
                **{"manifest_bytes": 1, "rollout": None, "activate": False, "trial_s": 1.0},
            )
        )

    def allows(self, blob: str, *, lane: str = "lte", device: str = "d") -> bool:
        request = ChunkRequest(blob=blob, lane=lane, chunk_bytes=4096, chunks=1, missing="AQ==")
        return self.allowed.allows(device, request)


@pytest.fixture
def fleet(store: Store, tmp_path: Path, reported) -> Fleet:
    return Fleet(store, BlobFolder(tmp_path / "blobs"), reported)


def test_what_a_manifest_names_may_be_asked_for(fleet: Fleet) -> None:
    assert all(fleet.allows(blob) for blob in (fleet.manifest, HASHES.sha256, WIRE.sha256, GOLDEN.sha256))


def test_other_blobs_other_channels_and_other_devices_are_refused(fleet: Fleet) -> None:
    assert not fleet.allows("a" * 64)
    assert not fleet.allows(WIRE.sha256, lane="wifi")
    assert not fleet.allows(WIRE.sha256, device="stranger")


def test_what_a_device_should_no_longer_run_is_refused(fleet: Fleet) -> None:
    fleet.tell(None, generation=2)
    assert not fleet.allows(WIRE.sha256)


def test_a_manifest_that_cannot_be_read_allows_itself_and_is_looked_at_again(fleet: Fleet) -> None:
    path = fleet.blobs.path(fleet.manifest)
    sound = path.read_bytes()
    path.write_bytes(b"rotten")
    assert (fleet.allows(fleet.manifest), fleet.allows(WIRE.sha256)) == (True, False)
    path.write_bytes(sound)
    assert fleet.allows(WIRE.sha256)
