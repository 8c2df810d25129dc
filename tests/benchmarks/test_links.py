"""What a made link does to packets, what is read from them, and that a machine without links is told so."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.links.namespaces import own_namespaces, why_not
from benchmarks.links.packets import ACK, FIN, RST, SYN, WRAP, PassedMessage, Stream, Traffic, segment
from benchmarks.links.shape import PACKET_BYTES, LinkHours, LinkShape, OneWay
from benchmarks.mqtt_frames import PUBLISH, frame, text

PACKET = b"\x45" + bytes(999)
BROKER, DEVICE = 1883, 40_000


def drain(direction: OneWay, step_s: float = 0.01, until_s: float = 1000.0) -> Iterator[tuple[float, bytes]]:
    """Everything that arrives, with when, on a clock that goes in steps."""
    now_s = 0.0
    while direction.next_s() is not None and now_s < until_s:
        now_s += step_s
        for packet in direction.arrived(now_s):
            yield now_s, packet


def test_packets_leave_at_the_links_rate_and_arrive_half_a_round_trip_later() -> None:
    direction = OneWay(LinkShape(kbps=80, rtt_ms=600), seed=1)  # 1,000 bytes take 0.1 s
    assert all(direction.offer(PACKET, 0.0) for _ in range(10))
    times = [at_s for at_s, _ in drain(direction)]
    assert times == pytest.approx([0.4 + 0.1 * n for n in range(10)], abs=0.011)
    assert direction.sent_bytes == 10_000


def test_a_link_that_was_idle_owes_nothing_for_it() -> None:
    direction = OneWay(LinkShape(kbps=80, rtt_ms=0), seed=1)
    direction.offer(PACKET, 5.0)
    assert not direction.arrived(5.09)
    assert direction.arrived(5.11) == [PACKET]


def test_what_finds_the_queue_full_is_gone_and_did_not_use_the_link() -> None:
    shape = LinkShape(kbps=80, rtt_ms=100)
    direction = OneWay(shape, seed=1)
    taken = sum(direction.offer(PACKET, 0.0) for _ in range(100))
    assert taken == shape.queue_bytes // len(PACKET) == 20 * PACKET_BYTES // 1000
    assert direction.overflowed == 100 - taken
    assert len(list(drain(direction))) == taken
    assert direction.sent_bytes == 1000 * taken


def test_a_long_fast_link_has_a_queue_of_twice_what_fills_it() -> None:
    assert LinkShape(kbps=8000, rtt_ms=100).queue_bytes == 200_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_losses_are_those_of_the_seed_and_of_the_share_that_was_asked_for(seed: int) -> None:
    counts = []
    for _ in range(2):
        direction = OneWay(LinkShape(kbps=1e6, rtt_ms=10, loss=0.02), seed)
        for number in range(5000):
            direction.offer(PACKET, number * 0.001)
            direction.arrived(number * 0.001)
        list(drain(direction))
        counts.append(direction.lost)
    assert counts[0] == counts[1]
    assert 60 <= counts[0] <= 140  # four standard deviations around 100
    assert direction.sent_bytes == 5000 * len(PACKET)


def test_while_a_link_is_off_packets_wait_and_go_on_from_where_they_were() -> None:
    direction = OneWay(LinkShape(kbps=80, rtt_ms=0), seed=1)
    direction.hours = LinkHours(on_s=0.25, off_s=60.0, began_s=0.0)
    for _ in range(4):
        direction.offer(PACKET, 0.0)
    assert [at_s for at_s, _ in drain(direction)] == pytest.approx([0.1, 0.2, 60.3, 60.4], abs=0.061)


@pytest.mark.parametrize(
    ("start_s", "busy_s", "end_s"),
    [(0, 30, 30), (0, 60, 60), (0, 61, 121), (30, 52, 142), (70, 10, 130), (119, 121, 361), (240, 10, 250)],
)
def test_the_ideal_counts_the_time_that_a_link_is_off(start_s: float, busy_s: float, end_s: float) -> None:
    hours = LinkHours(on_s=60, off_s=60, began_s=0)
    assert hours.end_of(start_s, busy_s) == pytest.approx(end_s)
    shape = LinkShape(kbps=8, rtt_ms=600)
    assert shape.ideal_s(int(busy_s * 1000), start_s, hours) == pytest.approx(end_s - start_s + 0.3)


# ---- packets ---------------------------------------------------------------------------------------------------------


def packet(source: int, port: int, seq: int, flags: int = ACK, payload: bytes = b"") -> bytes:
    head = struct.pack(">BBHHHBBH8s", 0x45, 0, 40 + len(payload), 0, 0, 64, 6, 0, bytes(8))
    return head + struct.pack(">HHIIBBHHH", source, port, seq % WRAP, 0, 0x50, flags, 0, 0, 0) + payload


def down(seq: int, flags: int = ACK, payload: bytes = b"") -> bytes:
    return packet(BROKER, DEVICE, seq, flags, payload)


def up(flags: int = ACK) -> bytes:
    return packet(DEVICE, BROKER, 7, flags)


def publish(topic: str, payload: bytes) -> bytes:
    return frame(PUBLISH, text(topic) + payload)


def test_a_packet_of_another_protocol_holds_no_segment() -> None:
    assert segment(b"\x45" + bytes(8) + b"\x11" + bytes(40)) is None
    assert segment(b"\x60" + bytes(60)) is None


@pytest.mark.parametrize("first_seq", [100, WRAP - 3])
def test_messages_are_read_from_segments_in_any_order_and_repeated(first_seq: int) -> None:
    data = publish("a/b", b"one") + publish("a/c", bytes(300))
    pieces = [(first_seq + at, data[at : at + 50]) for at in range(0, len(data), 50)]
    stream = Stream(first_seq % WRAP)
    messages = [m for seq, piece in [*reversed(pieces), *pieces] for m in stream.take(seq % WRAP, piece)]
    assert messages == [("a/b", b"one"), ("a/c", bytes(300))]


def test_a_segment_that_overlaps_what_is_here_adds_only_the_rest() -> None:
    data = publish("t", b"0123456789")
    stream = Stream(0)
    assert stream.take(0, data[:8]) == []
    assert stream.take(4, data[4:]) == [("t", b"0123456789")]


def test_an_order_is_seen_when_its_last_packet_arrives() -> None:
    traffic, data = Traffic(BROKER), publish("down/x", b"order")
    traffic.upward(up(SYN))
    traffic.arrived(down(99, SYN | ACK), 1.0)
    traffic.arrived(down(100, payload=data[:5]), 2.0)
    assert traffic.messages == []
    traffic.arrived(down(105, payload=data[5:]), 3.0)
    assert traffic.messages == [PassedMessage(3.0, "down/x", 5, b"order")]


@pytest.mark.parametrize("flag", [FIN, RST])
def test_a_connection_that_the_broker_ends_first_is_cut_and_one_that_the_device_ends_is_not(flag: int) -> None:
    traffic = Traffic(BROKER)
    traffic.upward(up(SYN))
    traffic.upward(up(SYN))  # sent again
    traffic.downward(down(1, flag | ACK))
    traffic.downward(down(1, flag | ACK))
    assert (traffic.connections, traffic.cuts) == (1, 1)
    traffic.upward(up(SYN))
    traffic.upward(up(FIN | ACK))
    traffic.downward(down(1, flag | ACK))
    assert (traffic.connections, traffic.cuts) == (2, 1)


def test_other_connections_are_no_concern() -> None:
    traffic = Traffic(BROKER)
    traffic.upward(packet(DEVICE, 9000, 1, SYN))
    traffic.downward(packet(9000, DEVICE, 1, RST))
    assert (traffic.connections, traffic.cuts) == (0, 0)


# ---- a real one ----------------------------------------------------------------------------------------------------

STREAM = """
import json
from benchmarks.links.namespaces import enter_cloud, link_to_device
from benchmarks.links.plain_tcp import seconds_of, serving
from benchmarks.links.shape import LinkShape

if __name__ == "__main__":  # the link's process imports this file, too
    enter_cloud()
    with serving(100_000) as port, link_to_device(0, LinkShape(kbps=800, rtt_ms=100), port) as link:
        took_s = seconds_of(link, port, 100_000, 30)
        print(json.dumps([took_s, *vars(link.relay.count()).values()]))
"""


@pytest.mark.skipif(why_not() is not None, reason=f"{why_not()}")
def test_a_stream_takes_as_long_as_the_link_says_and_every_packet_is_counted(tmp_path: Path) -> None:
    script = tmp_path / "stream.py"
    script.write_text(STREAM)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}"}
    command = [*own_namespaces(), sys.executable, str(script)]
    told = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    took_s, down_bytes, up_bytes, lost, _, connections, cuts = json.loads(told.stdout)
    assert took_s >= 1.0  # 100,000 bytes at 100,000 a second; the rest of the machine decides how much more
    assert 100_000 <= down_bytes <= 112_000
    assert 0 < up_bytes < 20_000
    assert (lost, connections, cuts) == (0, 1, 1)  # the server ends the connection once it has sent everything


# ---- where links cannot be made ------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="links are made on Linux alone")
def test_a_machine_without_the_tools_is_told_which_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"no links can be made here: 'unshare' is not installed: install util-linux"):
        main(["links", "--only", "slow"], results=tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="links are made on Linux alone")
def test_a_machine_without_tun_devices_is_told_what_to_load(tmp_path: Path) -> None:
    if missing := why_not(tmp_path / "tun"):
        assert "is missing: load the kernel's module tun" in missing or "is not installed" in missing
    else:
        pytest.fail("a device that is not there was not missed")


def test_a_scenario_that_is_not_there_is_a_fault_of_usage() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["links", "--only", "slo"])
