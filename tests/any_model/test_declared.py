"""What a new card says of a model's answers is obeyed, or refused in one line; stored models are read with theirs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.any_model.brought import BOXES, bring
from tests.any_model.small_models import (
    SmallModel,
    classification,
    detection,
    embedding,
    multilabel,
    outputs,
    regression,
    segmentation,
    sequence,
)

from edgefleet_compression.builds.messages import ModelFiles
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.door.inspection import Findings, inspect_model
from edgefleet_compression.models.source_files import open_source
from edgefleet_contract.card import parse_card
from edgefleet_contract.errors import ContractError

RISING = list(map(float, range(256)))


def looked_at(files: ModelFiles) -> Findings:
    card = parse_card(files["model.toml"].read_text())
    return inspect_model(files["model.onnx"], files["data.npz"], card)


@pytest.mark.parametrize(
    ("model", "card", "says"),
    [
        (classification, "[answers]\nthresholds = [0.5]", "answers.thresholds: the task is classification, which"),
        (classification, "[answers]\nscale = [1.0]", "of [answers] it reads read_from: leave it out"),
        (embedding, "[answers.tokens]\nblank = 0", "answers.tokens: the task is embedding, which does not read it"),
        (segmentation, "[answers]\nthresholds = [0.5]", "answers.thresholds: the task is segmentation"),
        (multilabel, "[answers]\nthresholds = [1.5]", "a score is a probability, and 1.5 is not from 0 to 1"),
        (multilabel, "[answers]\nthresholds = [-0.5]", "and -0.5 is not from 0 to 1: correct it"),
        (multilabel, "[answers]\nthresholds = [0.5, 0.5]", "2 thresholds for 8 classes: give one, or one for each"),
        (multilabel, "[answers]\nscale = [1.0]", "of [answers] it reads read_from, thresholds: leave it out"),
        (regression, "[answers]\nscale = [1.0, 1.0, 1.0]", "answers.scale: there are 3: give one for all, or one for"),
        (regression, "[answers]\nthresholds = [2.0, 1.0]", "categories of numbers begin at them: give them in rising"),
        (regression, f"[answers]\nthresholds = {RISING}", "there are 256, for at most 256"),
        (outputs, "[answers]\nscale = [1.0]", "answers.scale: there are 1: give one for each of 2 outputs"),
        (outputs, '[answers]\nread_from = "some"', "which does not read it; of [answers] it reads thresholds, scale"),
        (sequence, "[answers]\nscale = [1.0]", "of [answers] it reads read_from, tokens: leave it out"),
        (detection, f"[answers]\nthresholds = [0.5, 0.4]\n{BOXES}", "there are 2: give one, it is for all"),
        (detection, f"[answers]\nthresholds = [0.01]\n{BOXES}", "0.01 is not from 0.05 to 1: correct it"),
        (detection, f"[answers]\nscale = [1.0]\n{BOXES}", "of [answers] it reads thresholds, boxes: leave it out"),
        (
            detection,
            f"[answers]\nthresholds = [0.2]\n{BOXES}\n[postprocessing]\nmost = 2",
            "boxes below postprocessing.score, 0.25, are never given: raise 0.2, or lower that",
        ),
        (
            detection,
            f"{BOXES}\noverlap = 0.5\n[postprocessing]\nmost = 2",
            "answers.boxes.overlap: boxes are picked by postprocessing.overlap: set that instead",
        ),
    ],
)
def test_what_would_not_be_obeyed_is_refused_where_a_model_is_added(
    model: Callable[[], SmallModel], card: str, says: str, tmp_path: Path
) -> None:
    files = bring(model(), tmp_path, f'task = "{model.__name__}"\n{card}')
    with pytest.raises((CompressionError, ContractError)) as caught:
        looked_at(files)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "card"),
    [
        (classification, '[answers]\nread_from = "logits"'),
        (multilabel, f"[answers]\nthresholds = {[0.0, 1.0] * 4}"),
        (regression, "[answers]\nscale = [1.0, 2.0]\nthresholds = [-3.0, 0.5]"),
        (outputs, "[answers]\nscale = [1.0, 2.0]"),
        (sequence, "[answers.tokens]\nend = 9"),
        (detection, f"[answers]\nthresholds = [0.5]\n{BOXES}"),
    ],
)
def test_what_is_obeyed_is_taken(model: Callable[[], SmallModel], card: str, tmp_path: Path) -> None:
    files = bring(model(), tmp_path, f'task = "{model.__name__}"\n{card}')
    assert looked_at(files).reading.task == model.__name__


def test_a_model_that_was_stored_with_an_idle_key_is_still_read(tmp_path: Path) -> None:
    files = bring(classification(), tmp_path, "[answers]\nthresholds = [7.0, 8.0]")
    assert open_source(files, Cache(tmp_path / "cache")).task == "classification"
