"""Checks what a new card declares of a model's answers: every key is obeyed, or refused in one line.

Models that are stored already were taken with whatever their cards say, and are read with it.
"""

from edgefleet_compression.models.door.taking import TakenModel
from edgefleet_contract.card import CARD_FILE, ModelCard
from edgefleet_contract.card_answers import CardAnswers, CardBoxes
from edgefleet_contract.errors import CardError
from edgefleet_tasks.registry import task_named
from edgefleet_tasks.task import ReadsDeclared


def check_declared(card: ModelCard, taken: TakenModel) -> None:
    """See that the model's task, or what its card composes around it, reads what the card says of its answers.

    Raises:
        CardError: a key is idle, or cannot be obeyed as it is.
    """
    task = task_named(taken.task)
    if not isinstance(task, ReadsDeclared):
        return
    told, fields = card.answers, CardAnswers.model_fields
    reads = task.reads | _composed(card)
    if idle := [key for key in fields if key not in reads and getattr(told, key) != fields[key].default]:
        known = ", ".join(key for key in fields if key in reads)
        what = f"of [answers] it reads {known}" if known else "it reads nothing of [answers]"
        raise CardError(
            f"{CARD_FILE}, answers.{idle[0]}: the task is {taken.task}, which does not read it; {what}: leave it out"
        )
    if (refusal := task.misdeclared(taken.visible, taken.declared, taken.spec)) is not None:
        raise CardError(f"{CARD_FILE}, answers.{refusal.sentence}")
    _check_picked(card)


def _composed(card: ModelCard) -> frozenset[str]:
    """What the nodes read that the card composes around the network."""
    picked, surest = card.postprocessing.most is not None, card.postprocessing.top_k is not None
    return frozenset((*(["boxes"] if picked else []), *(["read_from"] if surest else [])))


def _check_picked(card: ModelCard) -> None:
    """Where boxes are picked in the graph, what is said of them has to be said there."""
    told, boxes = card.postprocessing, card.answers.boxes
    if told.most is None or boxes is None:
        return
    if boxes.overlap != CardBoxes.model_fields["overlap"].default:
        raise CardError(
            f"{CARD_FILE}, answers.boxes.overlap: boxes are picked by postprocessing.overlap: set that instead"
        )
    if low := [one for one in card.answers.thresholds if one < told.score]:
        raise CardError(
            f"{CARD_FILE}, answers.thresholds: boxes below postprocessing.score, {told.score:g}, are never given: "
            f"raise {low[0]:g}, or lower that"
        )
