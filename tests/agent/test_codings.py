"""Compressed bodies: read within a limit, whatever they claim to become; answers compressed for who asks for it."""

import gzip
import http.client
import json
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.agent.endpoint import INFER, Device, body

from edgefleet_agent.codings import chosen, decoded, encoded
from edgefleet_agent.errors import RequestError
from edgefleet_agent.routes import MAX_BODY_BYTES

MB = 2**20


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory, make_variant: Callable[..., Any]) -> Iterator[Device]:
    one = Device(tmp_path_factory.mktemp("device"), make_variant())
    yield one
    one.endpoint.close()
    one.pets.stop()


def send(device: Device, data: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(device.address, timeout=30)
    connection.request("POST", INFER, data, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    told = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    connection.close()
    return told


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
@pytest.mark.parametrize("size", [0, 1, 1000, 100_000])
def test_what_was_packed_is_read_up_to_the_limit_and_not_beyond(pack: Callable[[bytes], bytes], size: int) -> None:
    coding = "gzip" if pack is gzip.compress else "deflate"
    plain = bytes(size)
    assert decoded(pack(plain), coding, size) == plain
    assert decoded(encoded(plain, coding), coding.upper(), size) == plain
    if size:
        with pytest.raises(RequestError, match=f"more than the {size - 1} bytes allowed once") as refused:
            decoded(pack(plain), coding, size - 1)
        assert refused.value.status == 413


@pytest.mark.parametrize(
    ("data", "coding", "status", "why"),
    [
        (b"plain", "gzip", 400, "is not gzip"),
        (b"plain", "deflate", 400, "is not deflate"),
        (b"", "gzip", 400, "ends before"),
        (gzip.compress(bytes(1000))[:-9], "gzip", 400, "ends before"),
        (gzip.compress(b"a") + gzip.compress(b"b"), "gzip", 400, "goes on after"),
        (b"plain", "br", 415, "'br' is not supported"),
        (gzip.compress(b"a"), "gzip, gzip", 415, "not supported"),
    ],
    ids=["no gzip", "no deflate", "nothing", "cut short", "two in one", "unknown", "twice"],
)
def test_what_is_not_of_its_coding_is_refused(data: bytes, coding: str, status: int, why: str) -> None:
    with pytest.raises(RequestError, match=why) as refused:
        decoded(data, coding, 10**6)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("identity", None),
        ("*", None),
        ("br", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("GZIP;q=0.5 , deflate;q=0.8", "deflate"),
        ("gzip;q=0, deflate;q=0", None),
        ("gzip;q=0.5, identity;q=0.8", None),
        ("gzip;q=nonsense", None),
    ],
)
def test_the_client_chooses_the_coding_of_an_answer(accepted: str, coding: str | None) -> None:
    assert chosen(accepted) == coding


def test_a_bomb_is_413_and_takes_no_more_memory_than_the_largest_request(device: Device) -> None:
    bomb = gzip.compress(bytes(200 * MB), 9)
    assert len(bomb) < MB
    tracemalloc.start()
    try:
        status, _, told = send(device, bomb, Content_Encoding="gzip")
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert status == 413 and str(MAX_BODY_BYTES) in json.loads(told)["error"]
    assert most_bytes < 3 * MAX_BODY_BYTES
    assert send(device, gzip.compress(body()), Content_Encoding="gzip")[0] == 200


def test_only_as_many_large_bodies_are_unpacked_at_a_time_as_may_come_unpacked(device: Device) -> None:
    large = gzip.compress(body()[:-1] + b" " * 2 * MB + b"}")
    assert send(device, large, Content_Encoding="gzip")[0] == 200
    slow = [http.client.HTTPConnection(device.address, timeout=30) for _ in range(2)]
    for connection in slow:
        connection.putrequest("POST", INFER)
        connection.putheader("Content-Length", str(MAX_BODY_BYTES))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 100"), "it holds its share from here on"
    status, _, told = send(device, large, Content_Encoding="gzip")
    assert status == 503 and b"other large requests" in told
    assert send(device, gzip.compress(body()), Content_Encoding="gzip")[0] == 200
    for connection in slow:
        connection.close()


def test_answers_are_packed_for_who_asks_and_gains_and_errors_never(device: Device) -> None:
    many = body(shape=[200, 16], data=np.ones(3200).tolist())
    status, plain_head, plain = send(device, many)
    status, head, packed = send(device, many, Accept_Encoding="gzip")
    assert (status, head["content-encoding"], head["content-length"]) == (200, "gzip", str(len(packed)))
    assert len(packed) < len(plain) / 2 and "content-encoding" not in plain_head
    assert json.loads(gzip.decompress(packed))["outputs"] == json.loads(plain)["outputs"]
    status, head, told = send(device, b"{}" + b" " * 1000, Accept_Encoding="gzip")
    assert status == 400 and "content-encoding" not in head and json.loads(told)["error"]


def test_many_clients_with_compressed_bodies_are_all_answered(device: Device) -> None:
    told: list[int] = []
    data = gzip.compress(body())

    def use() -> None:
        told.extend(send(device, data, Content_Encoding="gzip", Accept_Encoding="gzip")[0] for _ in range(10))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [200] * 80
