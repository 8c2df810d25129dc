"""Fetching over a wire that loses, repeats, corrupts and mixes up, driven by a clock that the test winds."""

import random
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgefleet_agent.checks import COPIES
from edgefleet_agent.download import Download
from edgefleet_agent.errors import Rejected
from edgefleet_agent.fetch import Fetcher
from edgefleet_agent.files import replace_file
from edgefleet_agent.sinks import FileSink, MemorySink
from edgefleet_protocol import topics
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import frame, hash_list
from edgefleet_protocol.manifest import MAX_MANIFEST_BYTES, BlobRef, Encoding

CHUNK = 1024
DATA = random.Random(0).randbytes(150 * CHUNK + 77)
CHUNKS = 151
BLOB = BlobRef(sha256=digest(DATA), size_bytes=len(DATA))
HASHES = hash_list(DATA, CHUNK)
TOPIC = topics.blob(BLOB.sha256, "lte")
ENCODING = Encoding(
    kind="zstd", blob=BLOB, chunk_bytes=CHUNK, chunk_hashes=BlobRef(sha256=digest(HASHES), size_bytes=len(HASHES))
)


def chunk(index: int) -> bytes:
    return frame(index, DATA[index * CHUNK : (index + 1) * CHUNK])


class Run:
    """One fetch of DATA into a file."""

    def __init__(self, folder: Path, wire: Any, clock: Any, stall_s: float = 3600) -> None:
        self.sink = FileSink(folder / "encoding", ENCODING, HASHES, began_s=0.0)
        self.fetcher = Fetcher(wire, "lte", stall_s, draw=lambda: 0.0, clock=clock)
        self.ended: list[Rejected | None] = []
        self.fetcher.start(self.sink, lambda: self.ended.append(None), self.ended.append)

    def listening(self) -> None:
        self.fetcher.listening(TOPIC)
        self.fetcher.tick()


@pytest.fixture
def run(tmp_path: Path, wire: Any, clock: Any) -> Run:
    return Run(tmp_path, wire, clock)


def test_it_listens_first_and_asks_only_once_the_broker_has_confirmed(run: Run, wire: Any) -> None:
    run.fetcher.tick()
    assert (wire.topics, wire.wants) == ([TOPIC], [])
    run.listening()
    (want,) = wire.wants
    assert (want.blob, want.lane, want.chunk_bytes, want.chunks) == (BLOB.sha256, "lte", CHUNK, CHUNKS)
    assert wire.missing() == list(range(CHUNKS))


def test_a_wire_that_loses_repeats_corrupts_and_mixes_up_delivers_in_the_end(
    run: Run, wire: Any, clock: Any, tmp_path: Path
) -> None:
    rng = random.Random(1)
    run.listening()
    while not run.ended:
        todo = wire.missing() * 2
        rng.shuffle(todo)
        for index in todo:
            fate, good = rng.random(), chunk(index)
            bad = good[:-1] + bytes([good[-1] ^ 1])
            run.fetcher.chunk(TOPIC, b"" if fate < 0.1 else bad if fate < 0.3 else good if fate < 0.6 else chunk(0))
            clock.now_s += 0.01
        clock.now_s += 100
        run.fetcher.tick()
    run.sink.close()
    assert run.ended == [None]
    assert (tmp_path / "encoding").read_bytes() == DATA
    assert run.fetcher.dropped.malformed and run.fetcher.dropped.repeated and run.fetcher.dropped.wrong
    assert wire.left == [TOPIC]


def test_it_asks_again_after_two_seconds_of_silence_and_then_ever_more_rarely(run: Run, wire: Any, clock: Any) -> None:
    run.listening()
    asked = []
    for _ in range(200):
        clock.now_s += 1
        before = len(wire.wants)
        run.fetcher.tick()
        asked += [clock.now_s - 1000] * (len(wire.wants) - before)
    assert asked[:5] == [2, 6, 14, 30, 62]
    assert all(b - a <= 60 for a, b in pairwise(asked))


def test_on_a_slow_lane_it_waits_for_four_intervals(run: Run, wire: Any, clock: Any) -> None:
    run.listening()
    for index in range(3):
        clock.now_s += 5
        run.fetcher.chunk(TOPIC, chunk(index))
        run.fetcher.tick()
    wants = len(wire.wants)
    clock.now_s += 19
    run.fetcher.tick()
    assert len(wire.wants) == wants
    clock.now_s += 2
    run.fetcher.tick()
    assert len(wire.wants) == wants + 1


def test_with_credit_it_asks_though_chunks_for_others_come_first(wire: Any, clock: Any, tmp_path: Path) -> None:
    run = Run(tmp_path, wire, clock)
    run.fetcher.give_credit(True)
    topic = wire.topics[-1]
    run.fetcher.listening(topic)
    run.fetcher.chunk(topic, chunk(3))
    run.fetcher.tick()
    (want,) = wire.wants
    assert want.credit and want.credit.last == 3 and 3 not in wire.missing()


def test_a_hello_makes_it_ask_soon(run: Run, wire: Any, clock: Any) -> None:
    run.listening()
    run.fetcher.hello(jitter_s=1.0)
    run.fetcher.tick()
    assert len(wire.wants) == 2


def test_after_a_lost_connection_it_listens_again_before_it_asks(run: Run, wire: Any, clock: Any) -> None:
    run.listening()
    run.fetcher.disconnected()
    clock.now_s += 100
    run.fetcher.tick()
    assert len(wire.wants) == 1
    run.fetcher.connected()
    run.listening()
    assert wire.topics == [TOPIC, TOPIC] and len(wire.wants) == 2


def test_the_bitmap_on_disk_claims_only_what_is_synced_and_a_restart_asks_for_the_rest(
    run: Run, wire: Any, clock: Any, tmp_path: Path
) -> None:
    run.listening()
    for index in range(32):
        run.fetcher.chunk(TOPIC, chunk(index))
    run.sink.sync(force=True)
    for index in range(32, 35):
        run.fetcher.chunk(TOPIC, chunk(index))
    # The agent dies here: nothing is closed. The last three chunks were not synced yet.
    again = Run(tmp_path, wire, clock)
    again.listening()
    assert wire.missing() == list(range(32, CHUNKS))
    run.sink.close()
    again.sink.close()


def test_what_came_is_synced_after_half_a_second_also_when_little_came(run: Run, tmp_path: Path) -> None:
    run.listening()
    run.fetcher.chunk(TOPIC, chunk(7))
    time.sleep(0.55)
    run.fetcher.tick()
    resumed = FileSink(tmp_path / "encoding", ENCODING, HASHES, began_s=0.0)
    assert list(resumed.received) == [7]
    resumed.close()


@pytest.mark.parametrize("junk", [b"", b"{}", b'{"blob": 1}', b'{"bitmap": "////", "chunk_bytes": 1024}', b"\xff"])
def test_a_bitmap_that_cannot_be_read_only_costs_the_download(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "encoding").write_bytes(DATA)
    (tmp_path / "encoding.bitmap").write_bytes(junk)
    sink = FileSink(tmp_path / "encoding", ENCODING, HASHES, began_s=0.0)
    assert len(sink.received) == 0
    sink.close()


@pytest.mark.parametrize(
    "topic",
    [topics.blob("0" * 64, "lte"), topics.blob(BLOB.sha256, "wifi"), "edgefleet/v1/blobs/x", "$SYS/x"],
)
def test_chunks_of_others_are_counted_and_dropped(run: Run, topic: str) -> None:
    run.listening()
    run.fetcher.chunk(topic, chunk(0))
    assert run.fetcher.dropped.foreign == 1 and len(run.sink.received) == 0


def test_nothing_for_too_long_is_a_stalled_download(tmp_path: Path, wire: Any, clock: Any) -> None:
    run = Run(tmp_path, wire, clock, stall_s=600)
    run.listening()
    clock.now_s += 601
    run.fetcher.tick()
    assert run.ended[0] and run.ended[0].reason == "download_stalled"
    run.sink.close()


def test_one_chunk_serves_every_fetch_of_the_same_blob(wire: Any, clock: Any) -> None:
    small = BlobRef(sha256=digest(b"abc"), size_bytes=3)
    fetcher = Fetcher(wire, "lte", 60, clock=clock)
    sinks, done = [MemorySink(small), MemorySink(small)], []
    for sink in sinks:
        fetcher.start(sink, lambda: done.append(1), lambda error: pytest.fail(str(error)))
    fetcher.chunk(topics.blob(small.sha256, "lte"), frame(0, b"abc"))
    assert (len(done), [s.data() for s in sinks]) == (2, [b"abc", b"abc"])
    assert wire.left == [topics.blob(small.sha256, "lte")]


def test_a_small_blob_that_is_another_is_asked_for_again_and_given_up_at_the_third_time() -> None:
    blob = BlobRef(sha256=digest(b"abc"), size_bytes=3)
    sink = MemorySink(blob)
    for _ in range(2):
        assert sink.put(0, b"xyz") == "stored"
        assert len(sink.received) == 0
    with pytest.raises(Rejected) as refused:
        sink.put(0, b"xyz")
    assert refused.value.reason == "blob_corrupt"


@pytest.mark.parametrize(("index", "data"), [(0, b"abcd"), (0, b"ab"), (1, b"a"), (2**31, b"abc")])
def test_a_small_blob_takes_no_chunk_of_another_shape(index: int, data: bytes) -> None:
    assert MemorySink(BlobRef(sha256=digest(b"abc"), size_bytes=3)).put(index, data) == "wrong"


def test_a_blob_without_hashes_takes_no_more_memory_than_a_device_reckons_with(tmp_path: Path) -> None:
    data = random.Random(0).randbytes(4 * 2**20)
    blob = BlobRef(sha256=digest(data), size_bytes=len(data))
    tracemalloc.start()
    try:
        sink = MemorySink(blob)
        for index in range(sink.received.count):
            sink.put(index, data[index * sink.chunk_bytes : (index + 1) * sink.chunk_bytes])
        replace_file(tmp_path / "golden.npz", sink.data())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data) < peak_bytes < 1.05 * COPIES * len(data)


def test_a_manifest_of_more_bytes_than_any_has_is_not_asked_for(tmp_path: Path, wire: Any) -> None:
    refused: list[Rejected] = []
    large = BlobRef(sha256="0" * 64, size_bytes=MAX_MANIFEST_BYTES + 1)
    Download(tmp_path, large, Fetcher(wire, "lte", 60)).fetch_manifest(lambda _: pytest.fail("it came"), refused.append)
    assert [error.reason for error in refused] == ["manifest_invalid"]
    assert wire.topics == []


def test_a_hash_list_of_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="hash list"):
        FileSink(tmp_path / "encoding", ENCODING, HASHES[:-16], began_s=0.0)


def test_chunks_that_are_not_the_blobs_keep_nobody_from_asking_and_are_the_reason_in_the_end(
    tmp_path: Path, wire: Any, clock: Any
) -> None:
    run = Run(tmp_path, wire, clock, stall_s=600)
    run.listening()
    while not run.ended:
        clock.now_s += 1
        run.fetcher.chunk(TOPIC, frame(0, b"other bytes"))
        run.fetcher.tick()
    assert len(wire.wants) > 10 and run.sink.wrong > 500 and len(run.sink.received) == 0
    assert run.ended[0] and run.ended[0].reason == "blob_corrupt"
    run.sink.close()


def test_chunks_that_are_here_already_keep_nobody_from_asking_for_more_than_a_minute(
    run: Run, wire: Any, clock: Any
) -> None:
    run.listening()
    for _ in range(301):
        clock.now_s += 1
        run.fetcher.chunk(TOPIC, chunk(0))
        run.fetcher.tick()
    assert len(wire.wants) == 1 + 5


def test_when_several_stall_at_once_the_caller_is_told_once(wire: Any, clock: Any) -> None:
    fetcher = Fetcher(wire, "lte", 60, clock=clock)
    sinks = [MemorySink(BlobRef(sha256=digest(data), size_bytes=3)) for data in (b"abc", b"xyz")]
    told: list[Rejected] = []

    def give_all_up(refused: Rejected) -> None:
        told.append(refused)
        for sink in sinks:
            fetcher.stop(sink)

    for sink in sinks:
        fetcher.start(sink, lambda: None, give_all_up)
    clock.now_s += 61
    fetcher.tick()
    fetcher.tick()
    assert [refused.reason for refused in told] == ["download_stalled"]
