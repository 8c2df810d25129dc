"""A file is judged before it is uploaded: what cannot be taken, what is here already, and what there is no room for."""

from hashlib import sha256
from pathlib import Path

import pytest
from tests.memory import grown_mb

from edgefleet_contract.uploads import MAX_ONNX_BYTES, offer
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import DiskFull, Invalid
from edgefleet_controller.models.offering import judge_offer
from edgefleet_controller.models.registration import take_upload
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.memory import new_store

CARD = b'name = "fashion"\n'
NAME = sha256(CARD).hexdigest()


@pytest.fixture
def fleet() -> FleetStore:
    return new_store().fleet


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "blobs")


def test_a_new_file_is_wanted(fleet: FleetStore, blobs: BlobFolder) -> None:
    assert not judge_offer(fleet, blobs, NAME, offer("card", len(CARD), CARD)).held


def test_a_file_that_is_here_need_not_be_sent_again_unless_it_is_damaged(fleet: FleetStore, blobs: BlobFolder) -> None:
    blobs.put(CARD)
    offered = offer("card", len(CARD), CARD)
    assert not judge_offer(fleet, blobs, NAME, offered).held, "it was never recorded"
    take_upload(fleet, blobs, NAME, len(CARD))
    assert judge_offer(fleet, blobs, NAME, offered).held
    blobs.path(NAME).write_bytes(b"bits rot")
    assert not judge_offer(fleet, blobs, NAME, offered).held


def test_a_file_that_cannot_be_taken_is_refused(fleet: FleetStore, blobs: BlobFolder) -> None:
    with pytest.raises(Invalid, match="2,147,483,648 bytes"):
        judge_offer(fleet, blobs, NAME, offer("onnx", MAX_ONNX_BYTES + 1, b""))


def test_a_file_that_does_not_fit_on_the_disk_is_refused(fleet: FleetStore, blobs: BlobFolder) -> None:
    offered = offer("card", 1_000_000, CARD)
    with pytest.raises(DiskFull, match="make room"):
        judge_offer(fleet, blobs, NAME, offered, free_bytes=lambda _: 1_000_000)
    assert not judge_offer(fleet, blobs, NAME, offered, free_bytes=lambda _: 2**30).held


def test_storing_and_hashing_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    before = """
    from edgefleet_controller.delivery.blobs import BlobFolder
    from edgefleet_protocol.chunks import hash_list_of
    blobs, large = BlobFolder(Path("blobs")), Path("large")
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    """
    code = """
    ref = blobs.put_file(large)
    with large.open("rb") as file:
        hashes = hash_list_of(file, 49152)
    assert blobs.read_chunk(ref.sha256, 3, 49152) == bytes(49152)
    """
    assert grown_mb(before, code, tmp_path) < 8
