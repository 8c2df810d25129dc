"""Every transition is one line in plain words: which model and variant, from where to where, and why."""

from typing import Any, get_args

import pytest

from edgefleet_agent.lifecycle import Event, rows
from edgefleet_agent.records import InstalledModel
from edgefleet_agent.telling import WORDS, Transition, tell
from edgefleet_protocol.messages import Attempt, DesiredModel, Lost, Slot
from edgefleet_protocol.phases import Phase

OLD, NEW, MANIFEST = "a" * 64, "b" * 64, "c" * 64


def record(phase: Phase, answering: str | None = OLD, lost: Lost | None = None, **attempt: Any) -> InstalledModel:
    old = Slot(variant=OLD, manifest="d" * 64, model_version=1, generation=1)
    new = Slot(variant=NEW, manifest=MANIFEST, model_version=2, generation=2)
    fields = {"generation": 2, "manifest": MANIFEST, "variant": NEW, "phase": phase, **attempt}
    return InstalledModel(
        desired=DesiredModel(generation=2, manifest=MANIFEST),
        attempt=Attempt.model_validate(fields),
        answering=answering,
        slots={OLD: old, NEW: new},
        lost=lost,
    )


def line(event: Event, before: Phase, after: InstalledModel) -> str:
    return str(tell("pets", event, record(before), after, None, 0))


def test_every_event_of_the_lifecycle_has_words() -> None:
    assert WORDS.keys() == set(get_args(Event)) == {event for _, event in rows()}


@pytest.mark.parametrize(
    ("event", "before", "after", "told"),
    [
        ("desired", "assigned", record("notified", variant=None), "the controller asks for manifest cccccccccccc"),
        ("passed", "self_test", record("trial"), "passed its self-test and answers on trial; version 1 (aaaaaaaaaaaa)"),
        ("held", "trial", record("committed"), "version 2 (bbbbbbbbbbbb) held its trial and is committed"),
        (
            "failed",
            "trial",
            record("failed_rolled_back", reason="worker_crashed", detail="the worker ended\nwith status -11"),
            "version 2 (bbbbbbbbbbbb) failed (worker_crashed: the worker ended with status -11); "
            "version 1 (aaaaaaaaaaaa) answers",
        ),
        ("failed_alone", "trial", record("failed_unsafe", answering=None), "; nothing answers"),
        (
            "desired",
            "assigned",
            record("notified", variant=None, lost=Lost(variant=OLD, reason="blob_corrupt", detail="rotten")),
            "asks for manifest cccccccccccc, for a variant (aaaaaaaaaaaa) was lost",
        ),
    ],
)
def test_a_line_names_the_variant_the_way_and_the_reason(
    event: Event, before: Phase, after: InstalledModel, told: str
) -> None:
    said = line(event, before, after)
    assert said.startswith(f"pets, generation 2: {before} -> {after.attempt.phase}: ")
    assert told in said and "\n" not in said


def test_a_line_of_an_older_agent_is_shown_as_far_as_it_goes() -> None:
    older = Transition.model_validate({"ms": 1, "model": "pets", "generation": 3, "phase": "trial", "reason": None})
    assert str(older) == "pets, generation 3: trial"
