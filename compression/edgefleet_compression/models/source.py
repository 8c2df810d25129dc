"""The source model of a build: its card, its data, its graph or module, and what it answers (the teacher's labels)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from safetensors.numpy import load_file, save_file

from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import GraphError
from edgefleet_compression.heartbeat import beat
from edgefleet_compression.judging import Judge
from edgefleet_compression.models.brought import answered_classes, check_graph, skim_brought
from edgefleet_compression.models.data import Data, SplitName, open_data
from edgefleet_compression.models.inspection import check_card
from edgefleet_compression.models.states import BroughtState, SourceState, TorchState, torch_state
from edgefleet_compression.models.ways import ANY_WAY, Ways, ways_of
from edgefleet_compression.onnx_graphs.answers import Logits, not_finite
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.contents import contents_of
from edgefleet_compression.onnx_graphs.session import Answered, GraphSession
from edgefleet_compression.samples import SampleArray, Samples
from edgefleet_contract.card import CARD_FILE, ModelCard, check_files, parse_card
from edgefleet_contract.errors import CardError
from edgefleet_protocol.canonical import digest_of
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.registry import task_named

BATCH = 250


@dataclass(frozen=True)
class Source:
    """A registered model; `digest` names its weights, architecture or graph, and preprocessing."""

    card: ModelCard
    data: Data
    state: SourceState
    digest: str
    cache: Cache
    classes: int

    def logits(self, split: SplitName, mirrored: bool = False) -> Logits:
        """What the source model answers to a split, float32 [N, classes], as it is or mirrored left to right.

        Raises:
            GraphError: an answer is not finite.
        """
        key = digest_of(
            {
                "logits": split,
                "mirrored": mirrored,
                "source": self.digest,
                "data": self.card.data.sha256,
                **self._runtime(),
            }
        )

        def fill(folder: Path) -> None:
            answers = self._answers(self.data.split(split).x, mirrored)
            if bad := int((~np.isfinite(answers).all(1)).sum()):
                raise GraphError(f"the model's answer to {bad} of {len(answers)} samples of {split} is not finite")
            save_file({"logits": answers}, folder / "logits.safetensors")

        folder, _ = self.cache.get_or_put(key, fill)
        return np.asarray(load_file(folder / "logits.safetensors")["logits"], np.float32)

    def with_data_of(self, other: "Source") -> "Source":
        """This model with the samples of another one that takes the same."""
        return replace(self, data=other.data, card=self.card.model_copy(update={"data": other.card.data}))

    @cached_property
    def spec(self) -> Spec:
        """How the model's answers are meant, found once: by its own to all of val."""
        return task_named(self.card.task).spec(self.signature, [[self.logits("val")]])

    @cached_property
    def judge(self) -> Judge:
        """How the model's answers, and those of its variants, are scored and compared."""
        return Judge(task_named(self.card.task), self.spec)

    @cached_property
    def ways(self) -> Ways:
        """What may be made of the model beside delivering it as it is."""
        if isinstance(self.state, TorchState):
            return ANY_WAY
        contents = contents_of(skim_brought(self.state.path).graph)
        return ways_of(contents, self.card.task, len(self.signature.inputs))

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        # A file that takes one sample at a time has its batch all the same.
        given = "UINT8" if isinstance(self.state, BroughtState) and self.state.graph.input_type == "uint8" else "FP32"
        inputs = (Tensor(self._input_name, given, (None, *self.card.input.shape)),)
        return Signature(inputs, (Tensor("answers", "FP32", (None, self.classes)),))

    def asked(self, split: SplitName, count: int = 0) -> Asked:
        """The first `count` samples of a split, or all, as the model and all that is made of it take them."""
        name, found = self._input_name, self.data.read(split).first(count)
        [column] = found.x.columns.values()
        batches = not isinstance(self.state, BroughtState) or self.state.graph.batch is None
        return Asked(Samples({name: column}), self.signature, batches, self.card.preprocessing.scale)

    def answered(self, split: SplitName, count: int = 0) -> Answered:
        """What the source model answers to the first `count` samples of a split, or all.

        Raises:
            GraphError: an answer is not finite.
        """
        if isinstance(self.state, TorchState):
            return [[row[np.newaxis]] for row in self.logits(split)[: count or None]]
        found = GraphSession(self.state.path).answered(self.asked(split, count))
        if bad := not_finite(found):
            raise GraphError(f"the model's answer to {bad} of {len(found)} samples of {split} is not finite")
        return found

    @property
    def _input_name(self) -> str:
        return self.state.graph.input_name if isinstance(self.state, BroughtState) else self.card.input.name

    def reduced(self, split: SplitName) -> list[bytes]:
        """What the source model answers to a split, reduced by its task.

        Raises:
            GraphError: an answer is not finite.
        """
        return self.judge.task.reduce([self.logits(split)], self.spec)

    def _runtime(self) -> dict[str, Any]:
        if isinstance(self.state, TorchState):
            import torch

            return {"torch": torch.__version__}
        return {"onnxruntime": onnxruntime.__version__}

    def _answers(self, x: SampleArray, mirrored: bool) -> Logits:
        scale = self.card.preprocessing.scale
        if not isinstance(self.state, TorchState):
            return GraphSession(self.state.path).answers(x[..., ::-1] if mirrored else x, scale)
        import torch  # models brought as files do without

        from edgefleet_compression.networks.batches import answered_at_once

        answers = []
        size = answered_at_once(self.state.module, torch.from_numpy(x[:1]).float(), BATCH)
        with torch.inference_mode():
            for start in range(0, len(x), size):
                batch = torch.from_numpy(x[start : start + size]).float() * scale
                beat()
                answers.append(self.state.module(batch.flip(-1) if mirrored else batch).numpy())
        return np.concatenate(answers)


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
    state, classes = _brought(card, files) if card.door == "onnx" else _module(card, files)
    digest = digest_of({"state": state.digest(), "scale": card.preprocessing.scale})
    return Source(card, open_data(files[card.data.file], card, classes), state, digest, cache, classes)


def _module(card: ModelCard, files: Mapping[str, Path]) -> tuple[SourceState, int]:
    assert card.architecture is not None and card.weights is not None  # by the card's own check
    classes, weights = len(card.labels), files[card.weights.file]
    return torch_state(card.architecture.name, card.architecture.args, card.input.shape, classes, weights), classes


def _brought(card: ModelCard, files: Mapping[str, Path]) -> tuple[SourceState, int]:
    assert card.onnx is not None  # by the card's own check
    path = files[card.onnx.file]
    graph = check_graph(path)
    classes = answered_classes(path, graph, card.input.shape)
    check_card(card, graph.input_name, graph.input_type, graph.sample, classes)
    return BroughtState(path, graph), classes
