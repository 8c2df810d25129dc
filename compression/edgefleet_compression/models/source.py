"""The source model of a build: its card, its data, its graph or module, and what it answers (the teacher's labels)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from safetensors.numpy import load_file, save_file

from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import GraphError
from edgefleet_compression.heartbeat import beat
from edgefleet_compression.judging import Judge
from edgefleet_compression.models.around.composed_file import REVISION, compose_file
from edgefleet_compression.models.around.pictures import BARE, Composition, declared_of
from edgefleet_compression.models.door.brought import load_brought, skim_brought
from edgefleet_compression.models.splits.data import SplitFile, SplitName
from edgefleet_compression.models.splits.network_samples import seen_by_network
from edgefleet_compression.models.states import GRAPH, BroughtState, SourceState, TorchState
from edgefleet_compression.models.ways import ANY_WAY, Ways, ways_of
from edgefleet_compression.onnx_graphs.answers import Logits, not_finite
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.composed import AS_IT_IS
from edgefleet_compression.onnx_graphs.contents import contents_of
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.onnx_graphs.session import Answered, GraphSession
from edgefleet_compression.samples import Column, RawLabels, Samples
from edgefleet_contract.card import ModelCard
from edgefleet_protocol.canonical import canonical_json, digest_of
from edgefleet_protocol.features import FIRST_TASK
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec
from edgefleet_protocol.state import SequenceState
from edgefleet_tasks.registry import task_named
from edgefleet_tasks.step_labels import StepLabels
from edgefleet_tasks.task import UNDECLARED, Outputs

BATCH = 250
PLAIN_INPUTS = ("FP32", "UINT8")
"""What agents of 0.1.0 can be sent."""
TASKS_REVISION = 1
"""Raise it when a task reduces the same answers to other bytes."""
T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A registered model; `digest` names its weights, architecture or graph, and how it is asked and judged.

    `signature` is what it takes and gives, `batches` whether several samples may be asked at once, `scale` what
    samples are multiplied by where the network takes real numbers, and `declared` what its card says of its answers.
    `sequences` is what it keeps from one step to the next; its samples are then sequences, with an answer to each step.

    This is the network alone, which steps see: `data` are samples as it takes them. What devices get is `sent`, with
    all of `made` around it; there, samples are what applications send.
    """

    card: ModelCard
    data: SplitFile
    state: SourceState
    digest: str
    cache: Cache
    task: str
    signature: Signature
    batches: bool
    scale: float
    declared: Spec = UNDECLARED
    sequences: SequenceState | None = None
    made: Composition = BARE
    sends: SplitFile | None = None
    asks: "Source | None" = None

    @property
    def visible(self) -> Signature:
        """What applications send and get: all but the state."""
        return self.sequences.visible(self.signature) if self.sequences else self.signature

    def labels(self, split: SplitName) -> RawLabels | StepLabels | None:
        """The labels of a split, as there are answers to it."""
        return self.asked(split).labels(self.data.read(split).y)

    @cached_property
    def sent(self) -> "Source":
        """The model as applications see it: with what is composed around it, and the samples that they send."""
        if not self.made.is_needed or self.sends is None:
            return self
        around = replace(self, signature=self.made.signature(self.signature), data=self.sends, made=BARE)
        if self.made.given == AS_IT_IS:  # then it answers the same
            return replace(around, asks=self)
        assert isinstance(self.state, BroughtState)  # an architecture's answers are given as they are
        key = digest_of({"composed": REVISION, "source": self.digest})
        folder, _ = self.cache.get_or_put(key, self._compose)
        state = BroughtState(folder / GRAPH, self.state.graph, self.state.takes_one)
        declared = declared_of(self.card, self.made, self.signature)
        return replace(around, state=state, scale=1.0, declared=declared, digest=digest_of({"sent": self.digest}))

    def as_taken_by(self, path: Path) -> "Source":
        """The model as a file takes its samples: those of controllers of 0.1 take what the network does."""
        taken, sent = ([one.datatype for one in of.signature.inputs] for of in (ModelSession(path), self.sent))
        return self.sent if taken == sent else self

    def _compose(self, folder: Path) -> None:
        assert isinstance(self.state, BroughtState)  # by the caller
        compose_file(load_brought(self.state.path), self.signature, self.made, folder / GRAPH)

    @property
    def answers_rows(self) -> bool:
        """Whether every answer is one row of as many numbers: small enough to keep as it is."""
        outputs = self.signature.outputs
        if self.sequences or len(outputs) != 1 or outputs[0].datatype != "FP32" or len(outputs[0].sample_shape) != 1:
            return False
        return outputs[0].sample_size is not None or self.task == FIRST_TASK  # there are as many classes for each

    def logits(self, split: SplitName, mirrored: bool = False) -> Logits:
        """What a model that answers rows of numbers answers to a split, float32 [N, numbers].

        Args:
            split: the split.
            mirrored: whether samples are mirrored left to right, as students of a classifier of pictures see them.

        Raises:
            GraphError: an answer is not finite.
        """
        if self.asks is not None:
            return self.asks.logits(split, mirrored)
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
            answers = self._answers(self.data.read(split).x, mirrored)
            if bad := int((~np.isfinite(answers).all(1)).sum()):
                raise GraphError(f"the model's answer to {bad} of {len(answers)} samples of {split} is not finite")
            save_file({"logits": answers}, folder / "logits.safetensors")

        folder, _ = self.cache.get_or_put(key, fill)
        return np.asarray(load_file(folder / "logits.safetensors")["logits"], np.float32)

    def with_data_of(self, other: "Source") -> "Source":
        """This model with the samples of another one that is sent the same."""
        card = self.card.model_copy(update={"data": other.card.data})
        sends = other.sends or other.data
        data = seen_by_network(sends, self.visible, self.made, self.cache, f"{self.digest} {card.data.sha256}")
        return replace(self, data=data, sends=sends, card=card)

    @cached_property
    def spec(self) -> Spec:
        """How the model's answers are meant, found once: by its own to all of val."""
        if self.asks is not None:
            return self.asks.spec
        task = task_named(self.task)
        if self.answers_rows:
            return task.spec(self.signature, [[self.logits("val")]], self.declared)

        def fill(folder: Path) -> None:
            found = self._refusing("val", lambda: task.spec(self.visible, self._streamed("val"), self.declared))
            (folder / "spec.json").write_bytes(canonical_json(found.told()))

        folder, _ = self.cache.get_or_put(self._key("spec", "val"), fill)
        return Spec.of(json.loads((folder / "spec.json").read_bytes()))

    @cached_property
    def judge(self) -> Judge:
        """How the model's answers, and those of its variants, are scored and compared."""
        return Judge(task_named(self.task), self.spec, tuple(tensor.name for tensor in self.visible.outputs))

    @cached_property
    def ways(self) -> Ways:
        """What may be made of the model beside delivering it as it is."""
        if isinstance(self.state, TorchState):
            return ANY_WAY
        contents = contents_of(skim_brought(self.state.path).graph)
        return ways_of(contents, self.task, self.signature, self.card.preprocessing.resize is not None)

    @property
    def classes(self) -> int:
        """How many numbers an answer has, a class each."""
        return self.spec.classes or self.logits("val").shape[1]

    @property
    def told_signature(self) -> Signature | None:
        """The signature as a manifest has it: None where devices take the same from their session's own words."""
        inputs, outputs = self.signature.inputs, self.signature.outputs
        given = len(inputs) == 1 and inputs[0].datatype in PLAIN_INPUTS and len(inputs[0].shape) > 1
        plain = given and self.answers_rows and all(one.batched and not one.batch_axis for one in (*inputs, *outputs))
        return None if plain and (self.batches or self._takes_one) else self.signature

    @property
    def _takes_one(self) -> bool:
        """Whether the file itself says that it takes one sample at a time."""
        return isinstance(self.state, BroughtState) and self.state.takes_one

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample, as a model with a single input takes it."""
        [column] = self.data.read("val").x.columns.values()
        return column.row(0).shape

    def asked(self, split: SplitName, count: int = 0) -> Asked:
        """The first `count` samples of a split, or all, as the model and all that is made of it take them."""
        samples = self.data.read(split).first(count).x
        names = [tensor.name for tensor in self.visible.inputs]
        if len(names) == len(samples.columns) == 1:  # those of another version may be called otherwise
            samples = Samples(dict(zip(names, samples.columns.values(), strict=True)))
        return Asked(samples, self.signature, self.batches and samples.is_dense, self.scale, self.sequences)

    def answered(self, split: SplitName, count: int = 0) -> Answered:
        """What the source model answers to the first `count` samples of a split, or all.

        Raises:
            GraphError: an answer is not finite where the task reads it.
        """
        if self.asks is not None:
            return self.asks.answered(split, count)
        if isinstance(self.state, TorchState):
            return [[row[np.newaxis]] for row in self.logits(split)[: count or None]]
        state = self.state
        found = self._refusing(split, lambda: GraphSession(state.path).answered(self.asked(split, count)))
        if bad := not_finite(found, self.judge):
            raise GraphError(f"the model's answer to {bad} of {len(found)} samples of {split} is not finite")
        return found

    def reduced(self, split: SplitName, judge: Judge | None = None) -> list[bytes]:
        """What the source model answers to a split, reduced by its task.

        Args:
            split: the split.
            judge: by what it is reduced; None means the model's own.

        Raises:
            GraphError: an answer is not finite, or not of the task.
        """
        if self.asks is not None:
            return self.asks.reduced(split, judge)
        by = judge or self.judge
        if self.answers_rows:
            return by.task.reduce([self.logits(split)], by.spec)

        def fill(folder: Path) -> None:
            found = self._refusing(split, lambda: by.reduced(self._streamed(split)))
            lengths = np.array([len(answer) for answer in found], np.int64)
            np.savez(folder / "answers.npz", lengths=lengths, data=np.frombuffer(b"".join(found), np.uint8))

        folder, _ = self.cache.get_or_put(self._key("reduced", split, spec=by.spec.told()), fill)
        with np.load(folder / "answers.npz") as npz:
            ends, data = np.cumsum(npz["lengths"]).tolist(), npz["data"].tobytes()
        return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _streamed(self, split: SplitName) -> Iterator[Outputs]:
        assert isinstance(self.state, BroughtState)  # a module answers rows
        return GraphSession(self.state.path).answering(self.asked(split))

    def _refusing(self, split: SplitName, find: Callable[[], T]) -> T:
        try:
            return find()
        except ValueError as error:
            raise GraphError(f"the model's answers to {split}: {error}") from None

    def _key(self, what: str, split: SplitName, **more: Any) -> str:
        asked = {what: split, "source": self.digest, "data": self.card.data.sha256, "names": self.card.labels}
        return digest_of({**asked, "task": self.task, "revision": TASKS_REVISION, **more, **self._runtime()})

    def _runtime(self) -> dict[str, Any]:
        if isinstance(self.state, TorchState):
            import torch

            return {"torch": torch.__version__}
        return {"onnxruntime": onnxruntime.__version__}

    def _answers(self, samples: Samples, mirrored: bool) -> Logits:
        if not isinstance(self.state, TorchState):
            given = _mirrored(samples) if mirrored else samples
            answered = GraphSession(self.state.path).answering(Asked(given, self.signature, self.batches, self.scale))
            return np.concatenate([outputs[0] for outputs in answered])
        import torch  # models brought as files do without

        from edgefleet_compression.networks.batches import answered_at_once

        [column] = samples.columns.values()
        x, answers = column.values, []
        size = answered_at_once(self.state.module, torch.from_numpy(x[:1]).float(), BATCH)
        with torch.inference_mode():
            for start in range(0, len(x), size):
                batch = torch.from_numpy(x[start : start + size]).float() * self.scale
                beat()
                answers.append(self.state.module(batch.flip(-1) if mirrored else batch).numpy())
        return np.concatenate(answers)


def _mirrored(samples: Samples) -> Samples:
    return Samples({name: Column(column.values[..., ::-1]) for name, column in samples.columns.items()})
