"""docs/tasks.md has a section for every task, with its measures, its limits, and a label that the task takes."""

import json
import re
from pathlib import Path

import pytest

from edgefleet_protocol.answers import MAX_ANSWER_BYTES
from edgefleet_protocol.spec import MAX_NUMBERS, STRATA, Spec
from edgefleet_tasks.boxes import FULL, HALF
from edgefleet_tasks.counting import BINS, OTHERS
from edgefleet_tasks.errors import NotScored
from edgefleet_tasks.registry import own_names, task_named
from edgefleet_tasks.scaling import HIGH, LOW
from edgefleet_tasks.tasks import (
    classification,
    detection,
    embedding,
    multilabel,
    regression,
    segmentation,
    sequence,
)

PAGE = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text()
SECTIONS = dict(re.findall(r"^### `([a-z_0-9]+)`\n(.*?)(?=^##|\Z)", PAGE, flags=re.M | re.S))
LINES = ["Measure", "Headline", "Loss", "Kept", "Category", "Stratum"]
every_task = pytest.mark.parametrize("name", own_names())


def test_every_task_has_a_section_and_a_row_and_no_other_does() -> None:
    assert set(SECTIONS) == set(own_names())
    assert re.findall(r"^\| `([a-z]+)` \|", PAGE, flags=re.M) == list(SECTIONS)


@every_task
def test_a_section_names_the_measures_and_the_loss(name: str) -> None:
    task = task_named(name)
    said = dict(re.findall(r"^- (\w+): (.+)$", SECTIONS[name], flags=re.M))
    assert list(said) == LINES
    assert said["Measure"] == task.measure.name
    assert said["Headline"] == f"{task.headlined.name}, {task.headlined.better} is better"
    assert said["Loss"] == f"`{task.loss}`"


@every_task
def test_the_label_on_the_page_is_one(name: str) -> None:
    task, spec = task_named(name), Spec(names=("shirt", "coat", "shoe"))
    found = re.findall(r"```json\n(.*?)\n```", SECTIONS[name], flags=re.S)
    if not found:
        with pytest.raises(NotScored):
            task.label(0, spec)
        return
    task.label(json.loads(found[0]), spec if name != "regression" else Spec())
    assert ("feedback scores none" in SECTIONS[name]) == (not task.scores_alone)


LIMITS = [
    ("classification", f"the {classification.TOP} classes"),
    ("classification", f"the {OTHERS} commonest"),
    ("multilabel", f"the {multilabel.KEPT} largest"),
    ("multilabel", f"up to {multilabel.MOST_KEPT:,}"),
    ("multilabel", f"the threshold, {multilabel.THRESHOLD} unless"),
    ("regression", f"more than {regression.KEPT:,} as many"),
    ("regression", f"Up to {regression.MOST_SCALES} numbers"),
    ("embedding", f"more than {embedding.KEPT:,} numbers"),
    ("detection", f"the {detection.KEPT} surest boxes with a score of at least {detection.FLOOR}"),
    ("detection", f"the threshold, {detection.THRESHOLD} unless"),
    ("segmentation", f"{segmentation.GRID} x {segmentation.GRID} points"),
    ("segmentation", f"{segmentation.MOST_CLASSES} is not labelled"),
    ("sequence", f"more than {sequence.ROOM_BYTES // 4:,} ({sequence.ROOM_BYTES:,} of a vocabulary of 256"),
    ("sequence", f"{sequence.ROOM_BYTES // 2:,} of 65,536)"),
]


@pytest.mark.parametrize(("name", "told"), LIMITS)
def test_limits_are_those_of_the_code(name: str, told: str) -> None:
    assert told in " ".join(SECTIONS[name].split())


def test_what_all_tasks_share_is_as_the_code_has_it() -> None:
    text = " ".join(PAGE.split())
    assert f"the {LOW}th and the {HIGH}th percentile" in text
    assert f"from IoU {HALF} (nothing) to {FULL} (in full)" in text
    assert f"at most {MAX_ANSWER_BYTES // 1024} KB" in text
    assert (STRATA, BINS) == (8, 16)
    assert regression.MOST_SCALES <= MAX_NUMBERS
