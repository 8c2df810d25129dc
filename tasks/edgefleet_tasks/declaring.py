"""What is wrong with numbers that a card declares; asked of new cards alone, for stores hold older ones. Pure."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from edgefleet_protocol.spec import CATEGORIES, BoxReading, OutputColumns
from edgefleet_tasks.task import Refusal


def of_shares(thresholds: Sequence[float], classes: int, least: float = 0.0) -> Refusal | None:
    """Thresholds of scores: one for all, or one for each class.

    Args:
        thresholds: as declared; none are right.
        classes: how many there may be besides one; 0 if one is for all.
        least: the lowest that is obeyed.
    """
    if wrong := [one for one in thresholds if not least <= one <= 1]:
        return Refusal(f"thresholds: a score is a probability, and {wrong[0]:g} is not from {least:g} to 1: correct it")
    if len(thresholds) > 1 and len(thresholds) != classes:
        each = f"give one, or one for each of {classes} classes" if classes > 1 else "give one, it is for all"
        return Refusal(f"thresholds: there are {len(thresholds)}: {each}")
    return None


def of_boxes(reading: BoxReading, scores: int | None, outputs: Sequence[str]) -> Refusal | None:
    """Which columns hold boxes.

    Args:
        reading: as declared.
        scores: how many columns hold scores; None if that is not known.
        outputs: the names of the model's.
    """
    read = {
        "boxes": replace(reading.boxes, count=reading.boxes.count or 4),
        "scores": reading.scores,
        "classes": reading.classes and replace(reading.classes, count=1),
        "objectness": reading.objectness and replace(reading.objectness, count=1),
    }
    told = [(key, columns) for key, columns in read.items() if columns is not None]
    for (key, one), (other, two) in itertools.combinations(told, 2):
        if one.output == two.output and _overlap(one, two):
            where = f"column {max(one.first, two.first)} of '{outputs[one.output][:60]}'"
            return Refusal(f"boxes.{other}: {where} is read as {key}, too: correct `first` and `count`")
    if holds := [key for key, columns in told if columns.output == reading.counts]:
        name = outputs[reading.counts][:60]
        return Refusal(f"boxes.counts: '{name}' holds {holds[0]}: name the output that says how many boxes there are")
    if reading.classes is None and scores is not None and reading.first_class >= scores:
        left = f"of {scores} columns of scores none is left from {reading.first_class} on"
        return Refusal(f"boxes.first_class: {left}: correct it")
    return None


def _overlap(one: OutputColumns, other: OutputColumns) -> bool:
    ends = [columns.first + columns.count if columns.count else math.inf for columns in (one, other)]
    return max(one.first, other.first) < min(ends)


def of_edges(thresholds: Sequence[float]) -> Refusal | None:
    """Thresholds where categories of numbers begin."""
    if any(low >= high for low, high in itertools.pairwise(thresholds)):
        return Refusal("thresholds: categories of numbers begin at them: give them in rising order, each once")
    if len(thresholds) >= CATEGORIES:
        return Refusal(f"thresholds: there are {len(thresholds)}, for at most {CATEGORIES} categories: give fewer")
    return None


def of_scales(scale: Sequence[float], numbers: int, what: str, *, one_for_all: bool) -> Refusal | None:
    """Scales of numbers: one for each, or where that is obeyed one for all.

    Args:
        scale: as declared; none is right.
        numbers: how many there are to scale; 0 if that differs.
        what: they are called.
        one_for_all: whether one may be for all.
    """
    if not scale or len(scale) == numbers or (one_for_all and len(scale) == 1):
        return None
    ways = (["one for all"] if one_for_all else []) + ([f"one for each of {numbers} {what}"] if numbers else [])
    return Refusal(f"scale: there are {len(scale)}: give {', or '.join(ways)}")
