"""What is kept of a file's answers to val, so that two versions can be compared before any device is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgefleet_compression.builds.lineage import split_digests
from edgefleet_compression.builds.messages import KeptAnswers
from edgefleet_compression.models.source import Source
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.answer_set import AnswerSet

if TYPE_CHECKING:
    from edgefleet_compression.models.splits.data import SplitName

SPLIT: "SplitName" = "val"


def answer_set(source: Source, answers: Sequence[bytes], asked: Source | None = None) -> AnswerSet:
    """The answers of a source model, or of a file that was made of it, to all of val.

    Args:
        source: the model.
        answers: one a sample, or a step of one that is a sequence, reduced by its task and spec.
        asked: the model whose val it was; None if its own.
    """
    data = split_digests(asked or source)[SPLIT]
    steps = tuple((asked or source).asked(SPLIT).steps.tolist()) if source.sequences else ()
    return AnswerSet(source.task, _named(source), source.visible, data, tuple(answers), steps)


def kept_in(path: Path, found: AnswerSet) -> KeptAnswers:
    """Write answers into a file."""
    path.write_bytes(found.pack())
    return KeptAnswers(path, found.data)


def _named(source: Source) -> Spec:
    """How the answers are meant, with the names of the classes if the card has them."""
    names, spec = tuple(source.card.labels), source.spec
    return spec if spec.names or (spec.width and len(names) != spec.width) else replace(spec, names=names)
