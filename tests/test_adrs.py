"""Decisions are numbered, have a status, and name each other rightly."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
ADRS = {int(path.name[:4]): path for path in FILES}
RELATIONS = {"superseded by": "supersedes", "amended by": "amends"}
RELATION = "|".join([*RELATIONS, *RELATIONS.values()])
STATUS = re.compile(rf"(?:proposed|accepted), \d{{4}}-\d{{2}}-\d{{2}}(?:; (?:{RELATION}) ADR \d+)*")

every_adr = pytest.mark.parametrize("number", ADRS, ids=lambda number: ADRS[number].stem)


def status(number: int) -> str:
    """The status line of a decision, under its title."""
    found = re.search(r"\A# .+\n\nStatus: (.+)\n\n## Context\n", ADRS[number].read_text())
    assert found, f"{ADRS[number].name} has no status under its title: see template.md"
    return found[1]


def related(number: int) -> set[tuple[str, int]]:
    """How a decision's status says that it stands to others."""
    return {(how, int(other)) for how, other in re.findall(rf"({RELATION}) ADR (\d+)", status(number))}


def test_numbers_have_no_gaps_and_none_is_there_twice() -> None:
    assert [int(path.name[:4]) for path in FILES] == list(range(1, len(FILES) + 1))


@every_adr
def test_a_decision_has_its_number_a_status_and_its_three_parts(number: int) -> None:
    text = ADRS[number].read_text()
    assert text.startswith(f"# {number}. ")
    assert STATUS.fullmatch(status(number)), status(number)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 40


@every_adr
def test_what_a_status_says_of_another_decision_that_one_says_of_it(number: int) -> None:
    for how, other in related(number):
        assert other in ADRS, f"there is no ADR {other}"
        back = {**RELATIONS, **{b: a for a, b in RELATIONS.items()}}[how]
        assert (back, number) in related(other), f"{ADRS[other].name} does not say that it {back} ADR {number}"


def test_every_decision_that_is_named_anywhere_is_there() -> None:
    sources = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/edgefleet_*/**/*.py")]
    named = {int(number) for source in sources for number in re.findall(r"\bADR (\d+)", source.read_text())}
    assert {5, 14} <= named <= set(ADRS)
