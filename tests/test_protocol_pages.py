"""The pages on the protocol say what the code does: every field, type and limit, and examples that it reads."""

import base64
import dataclasses
import json
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from tests.protocol_tables import NAMED, cells, described, schema_of

from edgefleet_agent import bus, session, sinks, spool
from edgefleet_agent.lifecycle import rows as ways
from edgefleet_agent.settings import AgentSettings
from edgefleet_contract.rollouts import Timers
from edgefleet_controller.fleet.presence_sweep import ANSWER_S
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.device_class import DOTPROD_FLAGS, VNNI_FLAGS, InstructionSet
from edgefleet_profiles.parts import CHUNK_BYTES, THIN_CHUNK_BYTES, THIN_LINK_KBPS, DataKind
from edgefleet_protocol import counters, manifest, messages, moments, signature, spec, state, topics
from edgefleet_protocol.answers import pack_answers, unpack_answers
from edgefleet_protocol.canonical import canonical_json, digest
from edgefleet_protocol.chunks import (
    SMALL_BLOB_CHUNK_BYTES,
    Bitmap,
    Sending,
    chunk_count,
    chunk_size,
    frame,
    hash_list,
)
from edgefleet_protocol.encoding import compress, decompress
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.features import CONTROLLER_FEATURES, FEATURES, task_feature
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.leaving import LeavesAs
from edgefleet_protocol.manifest import MAX_MANIFEST_BYTES, Manifest, verify
from edgefleet_protocol.messages import MAX_MESSAGE_BYTES, ChunkRequest, DesiredState, Message, Part, decode, encode
from edgefleet_protocol.phases import Phase, ReasonCode
from edgefleet_protocol.runtime_options import ALLOWED
from edgefleet_tasks.tasks.classification import TASK

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROOT = Path(__file__).parents[1]
WIRE, MESSAGES, BYTES = (
    (ROOT / "docs" / f"{name}.md").read_text() for name in ("protocol", "protocol-messages", "protocol-bytes")
)
NEWEST = max((ROOT / "tests" / "protocol" / "fixtures").glob("v*"), key=lambda folder: int(folder.name[1:]))
KINDS: list[type] = [
    *(
        kind
        for module in (messages, manifest)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Message | Part) and kind not in (Message, Part)
    ),
    counters.NamedMoments,
    moments.Moments,
    spec.Spec,
    state.SequenceState,
    state.StatePair,
    spec.BoxReading,
    spec.OutputColumns,
    spec.TokenReading,
    signature.Signature,
    signature.Tensor,
]
WHOLE = [kind for kind in dict.fromkeys(KINDS) if issubclass(kind, Message)]
PARTS = [kind for kind in dict.fromkeys(KINDS) if not issubclass(kind, Message)]
every_kind = pytest.mark.parametrize("kind", [*WHOLE, *PARTS], ids=lambda kind: kind.__name__)
every_message = pytest.mark.parametrize("kind", WHOLE, ids=lambda kind: kind.__name__)


def section(page: str, heading: str) -> str:
    """What is under a heading, up to the next one."""
    assert f"\n{heading}\n" in page, f"no page has the heading '{heading}'"
    return re.split(r"^#+ ", page.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(page: str, heading: str, table: int = 0) -> list[list[str]]:
    """The cells of a table under a heading, without its head."""
    tables = re.findall(r"(?:^\|.*\n)+", section(page, heading), flags=re.MULTILINE)
    return [re.split(r" \| ?", line.strip("| ")) for line in tables[table].splitlines()[2:]]


def example(kind: type) -> Any:
    """The example of a message, under its heading."""
    return json.loads(re.findall(r"^```json\n(.*?)^```$", section(MESSAGES, f"### {kind.__name__}"), re.M | re.S)[0])


def hexed(name: str) -> bytes:
    """A worked example in hex."""
    return bytes.fromhex(re.findall(rf"^```hex {name}\n(.*?)^```$", BYTES, re.M | re.S)[0])


# ---- tables -------------------------------------------------------------------------------------------------------


@every_kind
def test_every_field_is_on_the_page_with_its_type_and_what_it_is_if_absent(kind: type) -> None:
    expected = {f"`{name}`": told for name, told in cells(kind).items()}
    written = {row[0]: (row[1], row[2]) for row in rows(MESSAGES, f"### {kind.__name__}") if row[3]}
    assert written == expected
    assert "| field | type | if absent | meaning |" in section(MESSAGES, f"### {kind.__name__}")


def test_every_type_that_the_tables_name_is_described() -> None:
    written = {row[0]: row[1] for row in rows(MESSAGES, "## Types")}
    assert written == {name: described(schema_of(kind), by_name=False) for name, kind in NAMED.items()} | {
        "list of X": "array",
        "set of X": "array",
        "table of X by Y": "object",
    }


def fields_of(
    kind: type, value: dict[str, Any], path: tuple[Any, ...] = ()
) -> Iterator[tuple[type, str, tuple[Any, ...]]]:
    """Every field of a message and its parts, with the kind that has it, its name, and where it stands."""
    told = cells(kind)
    for name in told.keys() & value.keys():
        yield kind, name, (*path, name)
        part = next((one for one in KINDS if re.search(rf"\b{one.__name__}\b", told[name][0])), None)
        inner = value[name]
        if part and told[name][0].startswith("table of"):
            for key in inner:
                yield from fields_of(part, inner[key], (*path, name, key))
        elif part and "list of" in told[name][0]:
            yield from fields_of(part, inner[0], (*path, name, 0))
        elif part:
            yield from fields_of(part, inner, (*path, name))


def changed(value: dict[str, Any], path: tuple[Any, ...], **to: Any) -> bytes:
    """A message with the field there set to `to`, or without it."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    if to:
        inner[path[-1]] = to["to"]
    else:
        del inner[path[-1]]
    return json.dumps(copy).encode()


@every_message
def test_null_is_taken_where_the_page_says_so_and_refused_elsewhere(kind: type[Message]) -> None:
    whole = json.loads((NEWEST / f"{kind.__name__}.json").read_text())
    looked_at = 0
    for part, name, path in fields_of(kind, whole):
        told, absent = cells(part)[name]
        if told.endswith(" or null"):
            decode(kind, changed(whole, path, to=None))
        else:
            with pytest.raises(MalformedMessage, match=name):
                decode(kind, changed(whole, path, to=None))
        if absent == "required":
            with pytest.raises(MalformedMessage, match=f"{name}: Field required"):
                decode(kind, changed(whole, path))
        looked_at += 1
    assert looked_at >= len(cells(kind))


def test_the_limits_of_numbers_are_those_that_a_receiver_keeps() -> None:
    for kind in KINDS:
        for name, (told, _) in cells(kind).items():
            if not (span := re.match(r"(?:integer|number), ([\d,]+) to ([\d,]+)", told)):
                continue
            low, high = (int(bound.replace(",", "")) for bound in span.groups())
            annotation = kind.__pydantic_fields__[name]  # type: ignore[attr-defined]
            adapter: TypeAdapter[Any] = TypeAdapter(annotation.rebuild_annotation())
            assert [adapter.validate_python(edge) for edge in (low, high)] == [low, high]
            for beyond in (low - 1, high + 1):
                with pytest.raises(ValidationError):
                    adapter.validate_python(beyond)


# ---- examples -----------------------------------------------------------------------------------------------------

SETS = {name for kind in KINDS for name, (told, _) in cells(kind).items() if told.startswith("set of")}


def sorted_sets(value: Any) -> Any:
    """A message whose sets are in order."""
    if isinstance(value, list):
        return [sorted_sets(inner) for inner in value]
    if isinstance(value, dict):
        return {name: sorted(inner) if name in SETS else sorted_sets(inner) for name, inner in value.items()}
    return value


@every_message
def test_the_example_of_every_message_is_read_and_written_as_it_stands(kind: type[Message]) -> None:
    written = example(kind)
    assert sorted_sets(json.loads(encode(decode(kind, json.dumps(written).encode())))) == sorted_sets(written)


def test_the_examples_belong_together() -> None:
    told, asked = (
        decode(DesiredState, json.dumps(example(DesiredState)).encode()).models["fashion"],
        example(ChunkRequest),
    )
    data = canonical_json(example(Manifest))
    found = verify(data, told.manifest or "")
    assert len(data) == told.manifest_bytes == 1470
    chosen = found.encoding_for(CHUNK_BYTES)
    assert chosen
    assert (asked["blob"], asked["chunk_bytes"]) == (chosen.blob.sha256, chosen.chunk_bytes)
    assert asked["chunks"] == chunk_count(chosen.blob.size_bytes, chosen.chunk_bytes)
    assert len(Bitmap.from_text(asked["chunks"], asked["missing"])) == asked["chunks"]
    assert chosen.chunk_hashes.size_bytes == 16 * asked["chunks"]


def test_a_variants_id_is_the_digest_of_the_cores_bytes_in_the_manifest() -> None:
    data = canonical_json(example(Manifest)).decode()
    core = data.partition('"core":')[2]
    depth = next(at for at in range(len(core)) if core[: at + 1].count("{") == core[: at + 1].count("}") > 0)
    assert digest(core[: depth + 1].encode()) == example(Manifest)["variant"]
    begin, end = re.findall(r"begin with `(\{.*?)` and end with `(.*?)`", BYTES.replace("\n", " "))[0]
    assert core[: depth + 1].startswith(begin)
    assert core[: depth + 1].endswith(end)


# ---- bytes --------------------------------------------------------------------------------------------------------

BLOB = bytes(i % 251 for i in range(100_000))


def test_the_worked_examples_of_chunks_are_what_the_code_makes() -> None:
    assert digest(BLOB) in BYTES
    count = chunk_count(len(BLOB), CHUNK_BYTES)
    last = frame(count - 1, BLOB[(count - 1) * CHUNK_BYTES :])
    assert (count, chunk_size(count - 1, len(BLOB), CHUNK_BYTES), len(last)) == (3, 1696, 1701)
    assert last.startswith(hexed("frame"))
    assert frame(count - 1, BLOB[(count - 1) * CHUNK_BYTES :], Sending(70_000, 5_000)).startswith(hexed("stamped"))
    assert hexed("hash-list") == hash_list(BLOB, CHUNK_BYTES)
    bitmap = Bitmap.from_text(11, "BQI=")
    assert (list(bitmap), bitmap.to_bytes()) == ([0, 2, 9], hexed("bitmap"))


def test_the_sizes_are_those_of_the_code() -> None:
    assert [row[1:] for row in rows(BYTES, "## Chunks")] == [
        [f"{CHUNK_BYTES:,}", "encodings on most links"],
        [
            f"{THIN_CHUNK_BYTES:,}",
            f"encodings on links under {THIN_LINK_KBPS} kbit/s, and blobs without a hash list on all",
        ],
    ]
    assert THIN_CHUNK_BYTES == SMALL_BLOB_CHUNK_BYTES
    assert f"at most {MAX_MESSAGE_BYTES:,} bytes" in MESSAGES
    assert f"{MAX_MANIFEST_BYTES:,} bytes (128 KB)" in MESSAGES.replace("\n", " ")


def test_the_worked_example_of_answers_is_what_the_code_makes() -> None:
    reduced = TASK.reduce([np.array([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])], spec.Spec())
    assert hexed("answers") == pack_answers(reduced)
    assert list(unpack_answers(hexed("answers"))) == reduced


def test_the_worked_example_of_latency_is_what_the_code_reads() -> None:
    (text,) = re.findall(r"`(HISTFAAA[A-Za-z0-9+/=]+)`", BYTES)
    counted = LatencyHistogram()
    for seconds in (0.0005, 0.0005, 0.0005, 0.01):
        counted.record(seconds)
    assert LatencyHistogram.decode(text) == counted
    packed = base64.b64decode(text)
    plain = zlib.decompress(packed[8:])
    assert (plain, packed[:8]) == (hexed("histogram"), struct.pack(">ii", 0x1C849314, len(packed) - 8))


def test_the_worked_example_of_canonical_json_is_what_the_code_writes() -> None:
    (written,) = re.findall(r"^```json canonical\n(.*?)\n```$", BYTES, re.M | re.S)
    assert canonical_json(json.loads(written)) == written.encode()
    of_numbers = section(BYTES, "## Canonical JSON").partition("Numbers that are not")[2].partition("\n\n")[0]
    examples = [text for text in re.findall(r"`([-+.e\d]+)`", of_numbers) if text]
    assert len(examples) >= 8
    for text in examples:
        assert canonical_json(float(text)) == text.encode()


def test_encodings_ask_for_no_larger_window_than_the_page_says() -> None:
    assert decompress(hexed("zstd"), 200) == b"edgefleet " * 20
    (limit,) = re.findall(r"at most 8 MB \(([\d,]+) bytes\)", BYTES)
    bits = int(limit.replace(",", "")).bit_length() - 1
    for size in (100, 300_000, 20 << 20):
        small = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: max(bits, 10)})
        encoded = compress(bytes(size))
        header = zstd.get_frame_info(encoded)
        assert (header.decompressed_size, header.dictionary_id) == (size, 0)
        assert len(small.decompress(encoded)) == size


# ---- the rest of the wire -----------------------------------------------------------------------------------------


def test_every_phase_reason_code_and_feature_is_on_the_page() -> None:
    def first(heading: str) -> set[str]:
        return {row[0].strip("`") for row in rows(WIRE, heading)}

    assert first("## Phases of an execution") == {
        name for kind in get_args(Phase) for name in get_args(kind) or (kind,)
    }
    told = {row[0].strip("`"): row[1] for row in rows(WIRE, "## Phases of an execution")}
    assert {phase for phase, reported in told.items() if reported != "never"} == {phase for phase, _ in ways().values()}
    assert first("## Reason codes") == set(get_args(ReasonCode))
    assert first("## Features") == FEATURES | {task_feature("NAME")}
    assert all(f"`{feature}`" in WIRE for feature in CONTROLLER_FEATURES)


FIGURES = [
    (Timers().silent_s, 600, "silent for `silent_s` (600 s unless the rollout says otherwise)"),
    (Timers().unreachable_s, 86_400, "`unreachable` after `unreachable_s` (a day)"),
    (Timers().space_s, 3600, "waits for room, for an hour unless the rollout says otherwise"),
    (AgentSettings.model_fields["stall_s"].default, 6 * 3600, "nothing comes for `stall_s` (six hours)"),
    (AgentSettings.model_fields["heartbeat_s"].default, 60, "at every heartbeat, every 60 s give or take a tenth"),
    (ANSWER_S, 180, "does not report within three minutes of a `hello`"),
    (bus.STEADY_S, 10, "unless the connection lasted 10 s"),
    (bus.longest_pause_s(0, 1), 1, "a tenth of its heartbeat, at least 1 s"),
    (bus.longest_pause_s(0, 300), 30, "starts at a tenth of its heartbeat"),
    (bus.longest_pause_s(99, 300), 60, "and stops at 60 s"),
    (bus.QUIET_HEARTBEATS, 3, "nothing was heard for three heartbeats"),
    (bus.MIN_QUIET_S, 30, "and at least 30 s, is dead"),
    (spool.MAX_IN_FLIGHT, 32, "at most 32 unacknowledged"),
    (session.RESEND_HEARTBEATS, 0.5, "after half a heartbeat"),
    (sinks.MAX_WRONG_BLOBS, 3, "after the third wrong copy"),
]


@pytest.mark.parametrize(("found", "said", "words"), FIGURES, ids=[words for *_, words in FIGURES])
def test_every_figure_is_that_of_the_code(found: float, said: float, words: str) -> None:
    assert found == said
    assert words in " ".join(WIRE.split())


def test_instruction_sets_follow_from_the_flags_that_the_page_names() -> None:
    told = section(WIRE, "## What to verify")
    for name in (*get_args(InstructionSet), *VNNI_FLAGS, *DOTPROD_FLAGS):
        assert f"`{name}`" in told


def test_every_topic_is_on_the_page() -> None:
    shard = topics.shard("gate-7")
    built = {
        topics.desired("gate-7"): "down/{device}/desired",
        topics.acked("gate-7"): "down/{device}/acked",
        topics.HELLO: "down/all/hello",
        topics.blob("f" * 64, "lte"): "blobs/{sha256}/{lane}",
        **{topics.up("gate-7", kind): f"up/{{shard}}/{{device}}/{kind}" for kind in topics.UP_KINDS},
    }
    for topic, written in built.items():
        filled = written.format(device="gate-7", shard=shard, sha256="f" * 64, lane="lte")
        assert topic == f"edgefleet/v1/{filled}"
        assert f"| `edgefleet/v1/{written}` |" in WIRE
    assert f"`{shard}` for `gate-7`" in WIRE.replace("\n", " ")


def test_what_may_leave_a_device_is_what_the_fields_are_marked_with() -> None:
    written = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in rows(MESSAGES, "### TelemetryWindow", table=1)}
    marks = {name: field.metadata for name, field in messages.TelemetryWindow.model_fields.items()}
    of_parts = {"moments": counters.NamedMoments.model_fields["scored"].metadata}
    kinds = {
        name: next((mark.kind for mark in found if isinstance(mark, LeavesAs)), "never")
        for name, found in (marks | of_parts).items()
    }
    assert written == {kind: {name for name in kinds if kinds[name] == kind} for kind in get_args(DataKind)}
    assert set(kinds.values()) == {*get_args(DataKind), "always"}
    assert all({"counts", "aggregates"} <= region.may_leave for region in load_catalogue().region.values())


def test_every_runtime_entry_is_on_the_page_with_its_values() -> None:
    def told(values: Iterable[str]) -> str:
        ordered = sorted(map(int, values))
        return f"{ordered[0]} {'or' if len(ordered) == 2 else 'to'} {ordered[-1]}"

    written = {row[0].strip("`"): row[1] for row in rows(MESSAGES, "## Runtime entries")}
    assert written == {name: told(values) for name, values in ALLOWED.items()}


def test_what_the_tables_name_is_a_model_of_the_wire() -> None:
    headings = set(re.findall(r"^### (\w+)$", MESSAGES, re.M))
    assert headings == {kind.__name__ for kind in (*WHOLE, *PARTS)}
    assert all(issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind) for kind in KINDS)
