"""Whether a model can be composed as its card says, and is then what its task reads: found by running it."""

import tempfile
from pathlib import Path

from edgefleet_compression.errors import GraphError
from edgefleet_compression.judging import Judge
from edgefleet_compression.models.around.composed_file import compose_file
from edgefleet_compression.models.around.pictures import Composition, declared_of
from edgefleet_compression.models.door.brought import load_brought, open_graph
from edgefleet_compression.models.door.taking import TakenModel
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.samples import Split
from edgefleet_contract.card import CARD_FILE, ModelCard
from edgefleet_contract.errors import CardError
from edgefleet_protocol.spec import LOGITS, PROBABILITIES
from edgefleet_tasks.arrays import by_sample
from edgefleet_tasks.registry import task_named

ASKED = 4


def check_composed(path: Path, card: ModelCard, taken: TakenModel, made: Composition, val: Split) -> None:
    """Compose a model, and ask it some samples as applications would.

    Args:
        path: the network.
        card: its card.
        taken: what is known of it.
        made: what the card wants around it.
        val: samples as applications send them.

    Raises:
        CardError, GraphError: it cannot be composed, does not run, or its answers are not what its task reads.
    """
    if not made.is_needed or taken.state is not None:  # a state goes with a scale alone, which was taken already
        return
    _check_shares(taken, made)
    signature = made.signature(taken.signature)
    with tempfile.TemporaryDirectory(prefix="edgefleet-composed-") as folder:
        session = open_graph(compose_file(load_brought(path), taken.signature, made, Path(folder) / "composed.onnx"))
    asked, task = Asked(val.first(ASKED).x, signature, False), task_named(taken.task)
    declared = declared_of(card, made, taken.signature)
    if (refusal := task.fits(signature, declared)) is not None:
        raise CardError(f"{CARD_FILE}, postprocessing: {refusal.sentence}")
    try:
        answers = [by_sample(session.run(feed), signature, count) for feed, count in asked.feeds(1)]
        spec = task.spec(signature, answers, declared)
        Judge(task, spec, tuple(tensor.name for tensor in signature.outputs)).reduced(answers)
    except ValueError as error:
        raise GraphError(f"with pre- and postprocessing, its answers cannot be read: {error}") from None
    except Exception as error:  # a binding's own types
        told = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise GraphError(f"onnxruntime cannot run it with its preprocessing ({told}): correct the card") from None


def _check_shares(taken: TakenModel, made: Composition) -> None:
    """Scores that are cut off, and what is made a probability, by what the network's answers look like."""
    boxes, outputs = made.given.boxes, taken.signature.outputs
    read = boxes.reading.scores.output if boxes else taken.spec.read_from
    name, given = outputs[read].name, (*made.given.softmax, *made.given.sigmoid)
    if boxes and name not in given and taken.spec.outputs == LOGITS:
        raise CardError(
            f"{CARD_FILE}: scores in '{name[:60]}' are not from 0 to 1: name it at postprocessing.sigmoid or softmax"
        )
    if name in given and taken.spec.outputs == PROBABILITIES:
        raise CardError(f"{CARD_FILE}: '{name[:60]}' is from 0 to 1 already: leave it out of sigmoid and softmax")
