"""Which outputs must be finite: those that a task reads. What else a model gives is no business of ours.

Masked logits, or the padding of a list, may well be infinite. Wherever a model is asked, on a device, at a build, or
when it is added, this is the one rule; the state of a sequence must be finite, too.
"""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edgefleet_protocol.spec import Spec
from edgefleet_tasks.arrays import is_finite
from edgefleet_tasks.errors import AnswerNotFinite
from edgefleet_tasks.task import Outputs, Task

MOST_SHOWN = 60


def places_read(task: Task[Any], spec: Spec, count: int) -> tuple[int, ...]:
    """The outputs that a task reads, by place.

    Args:
        task: the task.
        spec: how the model's answers are meant.
        count: how many outputs there are.
    """
    if task.reads_all:
        return tuple(range(count))
    if (boxes := spec.boxes) is not None:
        columns = (boxes.boxes, boxes.scores, boxes.classes, boxes.objectness)
        found = {one.output for one in columns if one is not None} | {boxes.counts}
    else:
        found = {spec.read_from} | ({spec.tokens.lengths} if spec.tokens else set())
    return tuple(sorted(place for place in found if 0 <= place < count))


def not_finite(outputs: Sequence[NDArray[Any]], places: Sequence[int]) -> int | None:
    """The place of the first of some outputs with NaN or infinity; None if there is none."""
    return next((place for place in places if not is_finite(outputs[place])), None)


def check_finite(outputs: Outputs, places: Sequence[int], names: Sequence[str] = ()) -> None:
    """Check the outputs that are read.

    Args:
        outputs: of one request.
        places: of those that are read.
        names: of all outputs; without them, messages tell the place.

    Raises:
        AnswerNotFinite: one has NaN or infinity.
    """
    if (place := not_finite(outputs, places)) is not None:
        raise AnswerNotFinite(told_not_finite(f"'{names[place][:MOST_SHOWN]}'" if names else str(place)))


def told_not_finite(output: str) -> str:
    """What is said of an output, quoted, with NaN or infinity."""
    return f"output {output} is not finite: it has NaN or infinity"
