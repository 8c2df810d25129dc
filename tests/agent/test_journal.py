"""The journal is bounded, and shows its last lines whatever else is in its files."""

import json
from pathlib import Path

from edgefleet_agent.journal import Journal
from edgefleet_agent.telling import Transition


def told(number: int) -> Transition:
    return Transition(ms=number, model="pets", generation=number, phase="committed", text="held " + "x" * 40)


def test_the_last_lines_are_told_oldest_first_across_a_new_file_and_the_files_stay_bounded(
    tmp_path: Path,
) -> None:
    kept = Journal(tmp_path, max_bytes=2000)
    assert kept.last(3) == []
    for number in range(1, 101):
        kept.append(told(number))
        assert kept.last(3) == [told(one) for one in range(max(1, number - 2), number + 1)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * 2300
    assert len(kept.last(1000)) > 10
    assert kept.last(0) == []


def test_lines_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    kept = Journal(tmp_path)
    kept.append(told(1))
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'\xff\n{"half": \n' + json.dumps({"ms": 2, "phase": "unheard"}).encode() + b"\n")
    kept.append(told(3))
    assert kept.last(5) == [told(1), told(3)]
