"""The line that says how a version answers beside the one before it."""

import pytest

from edgefleet_contract.measures import MeasureView
from edgefleet_contract.operations import AnswerComparison, VersionComparison
from edgefleet_operator.cli.lineage import answers_line
from edgefleet_operator.cli.version_comparison import comparison_line

SIMILARITY = MeasureView(name="similarity", scored=False)
WORSE = VersionComparison(
    before="fashion@1",
    samples=2000,
    disagreement=0.381,
    score=0.583,
    score_before=0.923,
    gain=-0.34,
    gain_ci=(-0.361, -0.319),
)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            WORSE,
            "fashion@2 is 34.0 points under fashion@1 on val: 58.3 % against 92.3 %, 95 % from -36.1 to -31.9; it "
            "answers 38.1 % of 2,000 samples of val differently (source models of both)",
        ),
        (WORSE.model_copy(update={"gain": 0.004, "gain_ci": (-0.001, 0.009)}), "is 0.4 points over fashion@1 on val"),
        (WORSE.model_copy(update={"gain": 0.0, "gain_ci": (-0.001, 0.001)}), "is level with fashion@1 on val"),
        (
            VersionComparison(before="fashion@1", samples=40, disagreement=0.05, gain=None),
            "fashion@2 answers 5.0 % of 40 samples of val differently than fashion@1; without labels, neither",
        ),
        (
            WORSE.model_copy(update={"measure": MeasureView(name="F1 of boxes")}),
            "under fashion@1 on val: F1 of boxes 58.3 % against 92.3 %, 95 % from -36.1 to -31.9; it disagrees by "
            "38.1 % on 2,000 samples of val (source models of both)",
        ),
        (
            VersionComparison(before="fashion@1", samples=40, disagreement=0.05, measure=SIMILARITY),
            "fashion@2 disagrees by 5.0 % on 40 samples of val with fashion@1; single answers have no score (source",
        ),
        (
            VersionComparison(before="fashion@1", not_compared="fashion@1 has other classes"),
            "fashion@2 was not compared with fashion@1: fashion@1 has other classes",
        ),
    ],
)
def test_it_says_how_far_both_are_apart_on_which_split_and_who_was_asked(found: VersionComparison, said: str) -> None:
    assert said in comparison_line("fashion@2", found)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "answers not compared: the original file is gone"),
        (
            AnswerComparison(samples=2000, agreement=0.9995, same_top1=1999, largest_difference=0.0123),
            "1,999 of 2,000 test samples have the same top-1, the largest difference of a number is 0.0123",
        ),
        (
            AnswerComparison(samples=20, agreement=0.971, same_top1=None, largest_difference=0.5),
            "answers to 20 test samples agree by 97.1 %, the largest difference of a number is 0.5",
        ),
        (
            AnswerComparison(samples=20, agreement=0, same_top1=None, largest_difference=None),
            "answers to 20 test samples agree by 0.0 %, and outputs differ in more than their numbers",
        ),
    ],
)
def test_a_rebuild_says_how_far_both_files_agree(found: AnswerComparison | None, said: str) -> None:
    assert answers_line(found) == said
