"""What holds after any kill, checked from what lies on the disks and from what both sides say.

I1 a verified model answers within 10 s of any restart. I2 nothing unverified answers, no phase is skipped, nothing is
tried or committed twice. I3 the active generation never goes down but by a rollback, which is a generation of its own.
I4 every device of a rollout ends. I5 the controller's counts are the sum of what devices say. I6 at most two slots and
no left-overs. I7 what REST has acknowledged is there. And every telemetry window is exactly one row.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.patience import slowed

from edgefleet_agent.lifecycle import rows
from edgefleet_protocol.manifest import Manifest
from edgefleet_protocol.phases import ENDED

ANSWERS_WITHIN_S = 10.0
SMALL_FILES_BYTES = 1024 * 1024
"""State, journal and spool of a device that ran for a minute."""
ENDS = ("completed", "cancelled", "rolled_back")

_FOLLOWS: dict[str, set[str]] = {}
for (_phase, _), (_next, _) in rows().items():
    _FOLLOWS.setdefault(_phase, set()).add(_next)


def check_device(state: Path, model: str = "fashion") -> None:
    """I2, I3 and I6 from a device's folder; its agent is at rest."""
    record = json.loads((state / "state.json").read_bytes())["models"][model]
    journal = [json.loads(line) for line in (state / "journal.jsonl").read_text().splitlines()]
    check_journal([entry for entry in journal if entry["model"] == model])
    kept = {v for v in (record.get("answering"), record.get("previous")) if v}
    for variant in kept:
        check_slot(state / "slots" / variant)
    if answering := record.get("answering"):
        check_active(journal, record, answering)
    left = {path.name for path in (state / "slots").iterdir()}
    assert left == kept and len(left) <= 2, f"I6: slots {left} on the disk, {kept} are needed"
    assert not list((state / "downloads").glob("*")), "I6: a download is left that no attempt needs"
    slots = sum(path.stat().st_size for path in (state / "slots").rglob("*") if path.is_file())
    others = sum(path.stat().st_size for path in state.rglob("*") if path.is_file()) - slots
    assert others < SMALL_FILES_BYTES, f"I6: {others} bytes beside the slots"


def check_journal(journal: Iterable[dict[str, Any]]) -> None:
    """I2 and I3: each generation goes by the table, is tried and committed at most once, and none comes back."""
    by_generation: dict[int, list[str]] = {}
    last = 0
    for entry in journal:
        assert entry["generation"] >= last, f"I3: generation {entry['generation']} after {last}"
        last = entry["generation"]
        by_generation.setdefault(last, []).append(entry["phase"])
    for generation, phases in by_generation.items():
        for before, after in pairwise(phases):
            assert after in _reached_from(before), f"I2: {after} after {before} in generation {generation}"
        for once in ("trial", "committed"):
            assert phases.count(once) <= 1, f"I2: generation {generation} {once} more than once"
        assert sum(phase in ENDED for phase in phases) <= 1, f"I2: generation {generation} ended twice: {phases}"


def _reached_from(phase: str) -> set[str]:
    """What may follow in a journal: a kill between the save and the journal costs the line of one phase."""
    direct = _FOLLOWS.get(phase, set())
    return direct.union(*(_FOLLOWS.get(skipped, set()) for skipped in direct))


def check_slot(slot: Path) -> None:
    """I2: a slot is what its manifest says, and its manifest is of the variant that it is named for."""
    manifest = Manifest.model_validate_json((slot / "manifest.json").read_bytes())
    assert manifest.variant == slot.name, f"I2: slot {slot.name} holds the manifest of {manifest.variant}"
    found = sha256((slot / "model.onnx").read_bytes()).hexdigest()
    assert found == manifest.core.onnx.sha256, f"I2: the model in slot {slot.name} is another one"


def check_active(journal: Iterable[dict[str, Any]], record: dict[str, Any], answering: str) -> None:
    """I3: what answers is what was committed last."""
    active = [e for e in journal if e["phase"] in ("committed", "already_installed")]
    given = record["slots"][answering]["generation"]
    if active and record["attempt"]["phase"] in ("committed", "already_installed"):
        assert record["attempt"]["generation"] == given, f"I3: generation {given} answers, another was committed"
    assert given >= max((e["generation"] for e in active), default=0), "I3: an older generation than the active answers"


def check_answers(answers: list[tuple[float, int]], must_answer: bool) -> None:
    """I1: from (seconds since the restart, status) of each question that reached the endpoint or not."""
    if must_answer:
        first = next((at for at, status in answers if status == 200), None)
        assert first is not None and first <= slowed() * ANSWERS_WITHIN_S, f"I1: the first answer came after {first} s"


def check_rollout(rollout: dict[str, Any], executions: dict[str, dict[str, Any]]) -> None:
    """I4 and I5: everyone has ended, and the counts are the sum of the executions."""
    assert rollout["state"] in ENDS, f"I4: the rollout is {rollout['state']}"
    open_ones = {name: e["phase"] for name, e in executions.items() if e["phase"] not in ENDED}
    assert not open_ones, f"I4: {open_ones} have not ended"
    counted = Counter(e["phase"] for e in executions.values())
    assert rollout["counts"] == counted, f"I5: {rollout['counts']} is told, {counted} are there"
    by_wave = sum((Counter(wave["counts"]) for wave in rollout["waves"]), Counter[str]())
    assert by_wave == counted, f"I5: the waves count {by_wave}, there are {counted}"


def check_same_word(execution: dict[str, Any], reported: dict[str, Any], state: Path, model: str = "fashion") -> None:
    """I5: what the controller has of a device is what the device has on its disk."""
    record = json.loads((state / "state.json").read_bytes())["models"][model]
    attempt, told = record["attempt"], reported["models"][model]
    assert (told["attempt"]["generation"], told["attempt"]["phase"]) == (attempt["generation"], attempt["phase"])
    assert (told["answering"] or {}).get("variant") == record.get("answering"), "I5: another variant is told"
    if attempt["generation"] == execution["generation"] and execution["phase"] != "cancelled":
        assert attempt["phase"] == execution["phase"], "I5: the execution ended otherwise than the attempt"
    elif attempt["generation"] == execution["back_generation"]:
        assert attempt["phase"] == execution["back_phase"], "I5: the way back ended otherwise than the attempt"


def waiting_windows(state: Path) -> int:
    """How many windows are still in a device's spool."""
    with closing(sqlite3.connect(f"{(state / 'spool.db').as_uri()}?mode=ro", uri=True)) as spool:
        return int(spool.execute("SELECT count(*) FROM windows").fetchone()[0])


def check_windows(state: Path, telemetry_db: Path, device: str, *, was_removed: bool = False) -> None:
    """Every window that the device ever numbered, since it was removed if it was, is exactly one row."""
    waiting = waiting_windows(state)
    with closing(sqlite3.connect(f"{(state / 'spool.db').as_uri()}?mode=ro", uri=True)) as spool:
        numbered = spool.execute("SELECT seq FROM sqlite_sequence WHERE name = 'windows'").fetchone()
    assert waiting == 0, f"{waiting} windows are still in the spool"
    incarnation = json.loads((state / "identity.json").read_bytes())["incarnation"]
    with closing(sqlite3.connect(f"{telemetry_db.as_uri()}?mode=ro", uri=True)) as store:
        stored = store.execute("SELECT incarnation, seq FROM windows WHERE device = ? ORDER BY seq", [device])
        found = stored.fetchall()
    last = numbered[0] if numbered else 0
    # Of a device that was removed only what it made since then is there; that may be nothing yet.
    first = (found[0][1] if found else last + 1) if was_removed else 1
    expected = [(incarnation, seq) for seq in range(first, last + 1)]
    assert found == expected, f"the windows {expected} were made, {found} are stored"
