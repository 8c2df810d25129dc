"""Works between versions: today's code reads every released message, and what a newer version may add to it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from tests.released import last_release

from edgefleet_protocol import messages
from edgefleet_protocol.canonical import canonical_json, digest, digest_of
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.manifest import Manifest, verify
from edgefleet_protocol.messages import Message, ReportedState, TelemetryWindow, decode

FIXTURES = Path(__file__).parent / "fixtures"
FILES = sorted(FIXTURES.glob("v*/*.json"))
NEWEST = max(FIXTURES.glob("v*"), key=lambda folder: int(folder.name[1:]))
KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in [*vars(messages).values(), Manifest]
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
}

every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The parts that a field's type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def objects_in(value: Any) -> list[dict[str, Any]]:
    """The objects that a field's value holds: it is one, or a list or table of them."""
    found = value if isinstance(value, list) else [value]
    return [entry for entry in found if isinstance(entry, dict)]


def left_out(kind: type[BaseModel], value: dict[str, Any], where: str) -> list[str]:
    """Fields that a fixture does not show, at any depth."""
    missing = [f"{where}.{name}" for name in kind.model_fields if name not in value]
    for name, field in kind.model_fields.items():
        for part in models_in(field.annotation):
            for inner in objects_in(value.get(name)):
                # A table of parts is told from a part by its keys.
                parts = [inner] if inner.keys() & part.model_fields.keys() else objects_in(list(inner.values()))
                for entry in parts:
                    missing += left_out(part, entry, f"{where}.{name}")
    return missing


def newer(kind: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    """A message with an unknown field in each of its parts."""
    changed: dict[str, Any] = {**value, "of_a_newer_version": {"deep": [1, None, "x"]}}
    for name, field in kind.model_fields.items():
        for part in models_in(field.annotation) if name in value else ():
            held = changed[name]
            if isinstance(held, list):
                changed[name] = [newer(part, entry) for entry in held]
            elif held.keys() & part.model_fields.keys():
                changed[name] = newer(part, held)
            else:
                changed[name] = {key: newer(part, entry) for key, entry in held.items()}
    return changed


def as_written(read: Any, written: Any) -> Any:
    """What was read, without what a newer version adds at any depth."""
    if isinstance(written, dict) and isinstance(read, dict):
        return {name: as_written(read.get(name), value) for name, value in written.items()}
    if isinstance(written, list) and isinstance(read, list) and len(read) == len(written):
        return [as_written(*pair) for pair in zip(read, written, strict=True)]
    return read


def test_the_last_release_has_its_messages_here() -> None:
    release = last_release()
    assert {path.stem for path in release.messages.glob("*.json")} == set(KINDS)
    assert decode(ReportedState, release.message("ReportedState")).agent_version == release.version


def test_messages_that_are_newer_than_the_last_release_are_of_a_later_version() -> None:
    release = last_release()
    released = tuple(map(int, release.version.split(".")))
    for folder in (path for path in FIXTURES.glob("v*") if int(path.name[1:]) > int(release.messages.name[1:])):
        said = decode(ReportedState, (folder / "ReportedState.json").read_bytes()).agent_version
        assert tuple(map(int, said.split("."))) > released, f"released.toml must name {folder.name}"


def test_what_is_released_was_never_edited() -> None:
    release = last_release()
    compare = ["git", "diff", "--stat", release.commit, "--", str(release.messages)]
    done = subprocess.run(compare, cwd=FIXTURES, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"commit {release.commit} of released.toml is not in this clone: git fetch --unshallow")
    assert done.stdout == ""


@every_file
def test_a_released_message_is_read_and_says_the_same(file: Path) -> None:
    written = json.loads(file.read_text())
    read = decode(KINDS[file.stem], file.read_bytes()).model_dump(mode="json", exclude_none=True)
    assert as_written(read, written) == written


@every_file
def test_what_a_newer_version_adds_is_passed_over(file: Path) -> None:
    kind = KINDS[file.stem]
    written = json.loads(file.read_text())
    added = {**newer(kind, written), "schema_version": 2}
    read = decode(kind, json.dumps(added).encode())
    assert read == decode(kind, file.read_bytes()).model_copy(update={"schema_version": 2})


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_newest_fixtures_show_every_field_of_every_message(name: str) -> None:
    file = NEWEST / f"{name}.json"
    assert file.exists(), f"write {file.name} with every field"
    assert left_out(KINDS[name], json.loads(file.read_text()), name) == []


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("v*/Manifest.json")), ids=lambda file: file.parent.name)
def test_a_manifest_is_trusted_also_with_a_core_that_knows_more(file: Path) -> None:
    written = json.loads(file.read_text())
    data = canonical_json(written)
    assert verify(data, digest(data)).variant == written["variant"]
    core = {**written["core"], "of_a_newer_version": True}
    kinds = [{**written["encodings"][0], "kind": "of-a-newer-version"}, *written["encodings"]]
    data = canonical_json({**written, "core": core, "variant": digest_of(core), "encodings": kinds})
    found = verify(data, digest(data)).encoding_for(49152)
    assert found is not None
    assert found.kind == "zstd"


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("v*/TelemetryWindow.json")), ids=lambda file: file.parent.name)
def test_a_released_histogram_is_read(file: Path) -> None:
    latency = decode(TelemetryWindow, file.read_bytes()).latency
    assert latency is not None
    assert LatencyHistogram.decode(latency).percentile_ms(50) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("v*/ReportedState.json")), ids=lambda file: file.parent.name)
def test_a_phase_of_a_newer_agent_costs_the_attempt_and_not_the_report(file: Path) -> None:
    known = decode(ReportedState, file.read_bytes())
    written = json.loads(file.read_text())
    for model in written["models"].values():
        model["attempt"]["phase"] = "asking_the_owner"
    read = decode(ReportedState, json.dumps(written).encode())
    for name, model in read.models.items():
        assert (model.attempt, model.newer_phase) == (None, "asking_the_owner")
        assert (model.answering, model.slots) == (known.models[name].answering, known.models[name].slots)
    assert read.facts == known.facts
    assert all(model.newer_phase is None for model in known.models.values())
    for nonsense in (7, "", "On fire!", "x" * 100):
        next(iter(written["models"].values()))["attempt"]["phase"] = nonsense
        with pytest.raises(MalformedMessage, match=r"attempt\.phase"):
            decode(ReportedState, json.dumps(written).encode())
