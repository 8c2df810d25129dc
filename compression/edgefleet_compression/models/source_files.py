"""Opens the files that were registered with a model: its card, its data, and its graph or module."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgefleet_compression.cache import Cache
from edgefleet_compression.models.around.pictures import BARE, BYTE, Composition
from edgefleet_compression.models.door.brought import check_graph, open_graph
from edgefleet_compression.models.door.likely_state import with_likely_state
from edgefleet_compression.models.door.module_check import architecture_signature
from edgefleet_compression.models.door.opening import open_samples
from edgefleet_compression.models.door.taking import TakenModel, take
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.splits.data import architecture_scale, open_data
from edgefleet_compression.models.splits.network_samples import seen_by_network
from edgefleet_compression.models.states import BroughtState, torch_state
from edgefleet_compression.onnx_graphs.sent import SentInput
from edgefleet_contract.card import CARD_FILE, ModelCard, check_files, parse_card
from edgefleet_contract.errors import CardError
from edgefleet_protocol.canonical import digest_of
from edgefleet_protocol.features import FIRST_TASK
from edgefleet_tasks.task import UNDECLARED


def open_source(files: Mapping[str, Path], cache: Cache) -> Source:
    """The source model of the files that were registered with it.

    Args:
        files: where each file lies, by its name in the model's folder; model.toml is one of them.
        cache: where answers of the source model are kept.

    Raises:
        CardError: model.toml or a file it names is missing or wrong.
        GraphError: its ONNX file cannot be taken.
    """
    if CARD_FILE not in files:
        raise CardError(f"{CARD_FILE} is missing: register the model's folder again")
    card = parse_card(files[CARD_FILE].read_text(encoding="utf-8"))
    check_files(card, files)
    return _brought(card, files, cache) if card.door == "onnx" else _module(card, files, cache)


def _module(card: ModelCard, files: Mapping[str, Path], cache: Cache) -> Source:
    assert card.architecture is not None and card.weights is not None  # by the card's own check
    classes, weights, data = len(card.labels), files[card.weights.file], files[card.data.file]
    state = torch_state(card.architecture.name, card.architecture.args, card.sample_shape, classes, weights)
    scale, signature = architecture_scale(card, data), architecture_signature(card)
    samples = open_data(data, card, scale)
    sent = None if scale == 1 else SentInput(signature.inputs[0].name, BYTE, scale=scale)
    return Source(
        card=card,
        data=samples,
        state=state,
        digest=digest_of({"state": state.digest(), "scale": scale}),
        cache=cache,
        task=FIRST_TASK,
        signature=signature,
        batches=True,
        scale=scale,
        made=Composition(sent),
        sends=samples,
    )


def _brought(card: ModelCard, files: Mapping[str, Path], cache: Cache) -> Source:
    assert card.onnx is not None  # by the card's own check
    path = files[card.onnx.file]
    graph, session = check_graph(path), open_graph(path)
    card, _ = with_likely_state(card, session.signature, files[card.data.file])
    opened = open_samples(session, card, files[card.data.file])
    taken = take(session, card, opened, opened.data.read("val"))
    fixed = isinstance(session.signature.inputs[0].shape[0], int) if session.signature.inputs[0].shape else False
    state, made = BroughtState(path, graph, takes_one=fixed), opened.made
    digest = digest_of({"state": state.digest(), "scale": made.scale, **_unusual(card, taken, made)})
    seen = seen_by_network(opened.data, taken.visible, made, cache, f"{digest} {card.data.sha256}")
    return Source(
        card=card,
        data=seen,
        state=state,
        digest=digest,
        cache=cache,
        task=taken.task,
        signature=taken.signature,
        batches=taken.batches,
        scale=taken.scale,
        declared=taken.declared,
        sequences=taken.state,
        made=made,
        sends=opened.data,
    )


def _unusual(card: ModelCard, taken: TakenModel, made: Composition) -> dict[str, Any]:
    """What else decides how a model is asked and judged; nothing of a classifier's names, which are only shown."""
    told: dict[str, Any] = {
        "task": taken.task,
        "batch": card.batch,
        "declared": replace(taken.declared, names=()).told(),
    }
    told["around"] = asdict(replace(made, sent=None) if made.plain_scale(taken.visible) is not None else made)
    usual = {"task": FIRST_TASK, "batch": "guess", "declared": UNDECLARED.told(), "around": asdict(BARE)}
    state = {"sequences": taken.state.told()["pairs"]} if taken.state else {}
    return {name: value for name, value in told.items() if value != usual[name]} | state
