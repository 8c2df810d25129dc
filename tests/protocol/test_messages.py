"""Control messages: what is known is validated, what is new is ignored, what is broken is named."""

import json
import time
from typing import Any

import pytest
from pydantic import BaseModel

from edgefleet_protocol import messages as m
from edgefleet_protocol.chunks import Bitmap
from edgefleet_protocol.errors import MalformedMessage

DIGEST = "ab" * 32
INCARNATION = "0193e7a2-5b1c-7def-8000-0123456789ab"
FACTS = m.Facts(hardware="rpi4", region="eu", link="wifi", arch="aarch64", cores=4, ram_mb=3900, simulated=True)
SLOT = m.Slot(variant=DIGEST, manifest=DIGEST, model_version=1, generation=3)

SAMPLES: list[m.Message] = [
    m.DesiredState(models={"fashion": m.DesiredModel(generation=4, manifest=DIGEST, manifest_bytes=900)}),
    m.DesiredState(models={"fashion": m.DesiredModel(generation=5, manifest=None, activate=False)}),
    m.Acked(incarnation=INCARNATION, through=17),
    m.Hello(jitter_s=0.5),
    m.Presence(online=False, incarnation=INCARNATION, boot=2),
    m.ReportedState(
        incarnation=INCARNATION,
        boot=2,
        report=9,
        agent_version="0.1.0",
        sent_ms=1_790_000_000_000,
        facts=FACTS,
        labels={"site": "north"},
        models={
            "fashion": m.ReportedModel(
                generation=4,
                answering=SLOT,
                slots=(SLOT,),
                attempt=m.Attempt(generation=4, phase="downloading", transfer=m.Transfer(bytes_total=10)),
            )
        },
    ),
    m.TelemetryWindow(
        incarnation=INCARNATION,
        seq=1,
        first_kept_seq=1,
        model="fashion",
        model_version=1,
        variant=DIGEST,
        generation=4,
        duration_ms=60_000,
        predicted={"3": 7},
    ),
    m.ChunkRequest(blob=DIGEST, lane="wifi", chunk_bytes=4096, chunks=9, missing="AQI="),
]


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_wire(message: m.Message) -> None:
    assert m.decode(type(message), m.encode(message)) == message


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_fields_of_a_newer_version_are_ignored_at_every_depth(message: m.Message) -> None:
    def extended(value: Any) -> Any:
        if isinstance(value, list):
            return [extended(part) for part in value]
        if not isinstance(value, dict):
            return value
        # Maps are keyed by names of models and labels; only objects with fields may grow.
        is_map = any(key in value for key in ("fashion", "site", "3"))
        grown = {key: extended(part) for key, part in value.items()}
        return grown if is_map else grown | {"from_the_future": {"deep": [1, "x", None]}}

    newer = extended(json.loads(m.encode(message))) | {"schema_version": 2}
    read = m.decode(type(message), json.dumps(newer).encode())
    assert read == message.model_copy(update={"schema_version": 2})


def test_what_an_older_version_leaves_out_has_its_default() -> None:
    read = m.decode(m.DesiredModel, f'{{"generation": 1, "manifest": "{DIGEST}"}}'.encode())
    assert read.activate
    assert read.rollout is None


HELLO_FAULTS = {
    "nothing": b"",
    "no JSON": b"hello",
    "no UTF-8": b"\xff\xfe{}",
    "a lone surrogate": b'{"x": "\\ud800"}',
    "no object": b"[]",
    "null": b"null",
    "NaN": b'{"jitter_s": NaN}',
    "infinity": b'{"jitter_s": Infinity}',
    "a float that overflows": b'{"jitter_s": 1e999}',
    "an integer of 5,000 digits": b'{"jitter_s": ' + b"9" * 5000 + b"}",
    "such an integer in an unknown field": b'{"x": ' + b"9" * 5000 + b"}",
    "out of range": b'{"jitter_s": -1}',
    "deep nesting": b'{"x": ' + b"[" * 20_000,
    "deep nesting, well closed": b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "deep objects": b'{"x":' * 20_000,
    "a version of 0": b'{"schema_version": 0}',
    "too many bytes": b'{"x": "' + b"x" * m.MAX_MESSAGE_BYTES + b'"}',
}


@pytest.mark.parametrize("data", HELLO_FAULTS.values(), ids=HELLO_FAULTS.keys())
def test_bytes_that_are_no_message_are_refused_with_a_short_reason(data: bytes) -> None:
    with pytest.raises(MalformedMessage) as refused:
        m.decode(m.Hello, data)
    assert len(str(refused.value)) < 700


SLOT = {"variant": DIGEST, "manifest": DIGEST, "model_version": 1, "generation": 1}
FACTS = {"hardware": "rpi4", "region": "eu", "link": "lte", "arch": "x", "cores": 1, "ram_mb": 1}
WINDOW = {
    **{"incarnation": INCARNATION, "seq": 1, "first_kept_seq": 1, "model": "fashion", "model_version": 1},
    **{"variant": DIGEST, "generation": 1, "duration_ms": 1},
}
FIELD_FAULTS: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (m.Acked, {"incarnation": INCARNATION, "through": 2**62}),
    (m.Acked, {"incarnation": INCARNATION, "through": -1}),
    (m.Acked, {"incarnation": "../../etc/passwd", "through": 1}),
    (m.DesiredModel, {"generation": 0, "manifest": None}),
    (m.DesiredModel, {"generation": 1, "manifest": DIGEST + "\n"}),
    (m.DesiredState, {"models": {"fashion\n": {"generation": 1, "manifest": None}}}),
    (m.DesiredState, {"models": {"../x": {"generation": 1, "manifest": None}}}),
    (m.ChunkRequest, {"blob": DIGEST, "lane": "wifi", "chunk_bytes": 0, "chunks": 1, "missing": ""}),
    (m.ChunkRequest, {"blob": DIGEST, "lane": "wifi", "chunk_bytes": 4096, "chunks": 0, "missing": ""}),
    (m.ChunkRequest, {"blob": DIGEST, "lane": "wifi", "chunk_bytes": 4096, "chunks": 2**40, "missing": ""}),
    (m.ChunkRequest, {"blob": DIGEST, "lane": "#", "chunk_bytes": 4096, "chunks": 1, "missing": ""}),
    (m.Attempt, {"generation": 1, "phase": "on_fire"}),
    (m.Transfer, {"seconds": float("nan")}),
    (m.Transfer, {"seconds": 1e308}),
    (m.ReportedModel, {"generation": 2**53 + 1}),
    (m.DesiredModel, {"generation": 2**53 + 1}),
    (m.ReportedModel, {"slots": [SLOT] * 65}),
    (m.Facts, {**FACTS, "isa": [str(n) for n in range(257)]}),
    (m.DesiredState, {"models": {f"m{n}": {"generation": 1} for n in range(65)}}),
    (m.TelemetryWindow, {**WINDOW, "requests": 2**40}),
    (m.TelemetryWindow, {**WINDOW, "labelled": 1, "correct": 2}),
]


def test_these_messages_lack_nothing_else() -> None:
    for kind, fields in ((m.Slot, SLOT), (m.Facts, FACTS), (m.TelemetryWindow, WINDOW)):
        assert m.decode(kind, json.dumps(fields).encode())


def test_the_first_of_many_faults_is_found_quickly() -> None:
    """A message must not cost its receiver much more than its sender: every list that is wrong ends at once."""
    lies = {"models": {"fashion": {"slots": [1] * 80_000}}, "facts": {"isa": [1] * 10_000, "providers": [1] * 10_000}}
    began_s = time.thread_time()
    with pytest.raises(MalformedMessage):
        m.decode(m.ReportedState, json.dumps(lies).encode())
    assert time.thread_time() - began_s < 0.1


@pytest.mark.parametrize(("kind", "fields"), FIELD_FAULTS, ids=lambda part: str(part)[:60])
def test_a_field_out_of_its_range_is_refused(kind: type[BaseModel], fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        m.decode(kind, json.dumps(fields).encode())


def test_the_reason_says_where_the_fault_is() -> None:
    with pytest.raises(MalformedMessage, match=r"DesiredState: models\.fashion\.generation"):
        m.decode(m.DesiredState, b'{"models": {"fashion": {"generation": "x", "manifest": null}}}')


def test_the_largest_want_fits_a_message() -> None:
    chunks = 1_000_000  # 48 GB in chunks of 48 KB
    want = m.ChunkRequest(
        blob=DIGEST, lane="wifi", chunk_bytes=48 * 1024, chunks=chunks, missing=Bitmap(chunks).inverted().to_text()
    )
    assert m.decode(m.ChunkRequest, m.encode(want)) == want
