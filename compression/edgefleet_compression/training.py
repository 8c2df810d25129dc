"""The one training loop: hard labels and a teacher's soft ones, Adam under a one-cycle rate."""

import math
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgefleet_compression.errors import DataError, StepError
from edgefleet_compression.heartbeat import beat
from edgefleet_compression.models.source import Source
from edgefleet_compression.networks.batches import answered_at_once, trained_parts
from edgefleet_compression.networks.layers import pruned_weights
from edgefleet_compression.onnx_graphs.answers import Logits
from edgefleet_compression.samples import Classes
from edgefleet_compression.step import Context, Progress
from edgefleet_compression.step_settings import TrainConfig
from edgefleet_protocol.spec import PROBABILITIES, Spec

Learned = dict[str, Any]
"""What a training leaves in the log of its step."""

IMAGES = 4
"""The rank of a batch of images [N, C, H, W]; signals [N, C, L] are neither mirrored nor shifted."""
LEAST_PROBABILITY = 1e-7
LOST = 0.1
"""How much less often than of samples as they are a source may be right of mirrored ones, for these to teach."""
SCORED_AT_ONCE = 500
RISES = 0.2
"""The share of training in which the rate rises to its highest."""
DIVERGED = "training diverged, the loss is not finite: lower the rate"


@dataclass(frozen=True)
class Corpus:
    """Training samples and what is right about them.

    x [N, *shape] as the data holds them (times `scale` they are the network's inputs), y int64 [N], soft float32
    [N, classes]: the teacher's logits, or None without a teacher. `mirrors` is False where a mirrored sample would be
    another thing.
    """

    x: torch.Tensor
    y: torch.Tensor
    soft: torch.Tensor | None
    mirrors: bool = True
    scale: float = 1.0

    def inputs(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Some samples as the network takes them, float32 [M, *shape]."""
        return self.x[rows].float() * self.scale


def corpus(source: Source, settings: TrainConfig) -> Corpus:
    """The train split with the source model's answers, asked once and kept.

    Without labels the source's answers are what is right. Where training mirrors samples, both views are taught the
    mean of the answers to both, which is right more often than either. Where the source is lost when samples are
    mirrored (digits, letters, left and right), `flip` is not obeyed: what it would teach is wrong.

    Raises:
        DataError: there is too little to learn from, or to judge by: no second sample, no second class, or neither
            labels nor a teacher.
    """
    split = source.data.read("train").arrays.first(settings.samples)
    if len(split.x) < 2:
        raise DataError("train has only one sample: give two or more")
    soft = mirrored = None
    if settings.alpha > 0:
        soft = as_logits(source.logits("train")[: len(split.x)], source.spec)
        if settings.flip and split.x.ndim == IMAGES:
            mirrored = as_logits(source.logits("train", mirrored=True)[: len(split.x)], source.spec)
    if split.y is None and soft is None:
        raise DataError("train has no labels: add y_train, or set alpha above 0 to learn from the source's answers")
    y = soft.argmax(1) if split.y is None and soft is not None else split.labels()
    has_two_classes("train", y)
    if (val := source.data.read("val").arrays.y) is not None:
        has_two_classes("val", val)
    mirrors = soft is None or mirrored is None or _right(mirrored, y) >= _right(soft, y) - LOST
    if soft is not None and mirrored is not None and mirrors:
        soft = np.mean([soft, mirrored], axis=0, dtype=np.float32)
    learned = None if soft is None else torch.from_numpy(soft)
    return Corpus(torch.from_numpy(split.x), torch.from_numpy(y), learned, mirrors, source.scale)


def _right(logits: Logits, y: Classes) -> float:
    return float((logits.argmax(1) == y).mean())


def has_two_classes(name: str, y: Classes) -> None:
    """Check that labels int64 [N] of the split `name` are of more than one class; raises DataError."""
    if (y == y[0]).all():
        raise DataError(f"every sample of {name} is of class {y[0]}: give samples of two classes or more")


def as_logits(answers: Logits, spec: Spec) -> Logits:
    """A teacher's answers [N, classes] as logits, of which the spec says whether they are."""
    return np.log(np.maximum(answers, LEAST_PROBABILITY)) if spec.outputs == PROBABILITIES else answers


def distillation_loss(
    logits: torch.Tensor, soft: torch.Tensor | None, labels: torch.Tensor, temperature: float, alpha: float
) -> torch.Tensor:
    """alpha T^2 KL(teacher || student) at temperature T + (1 - alpha) cross-entropy (Hinton et al. 2015).

    Args:
        logits: the student's, [N, classes].
        soft: the teacher's, [N, classes]; None leaves cross-entropy alone.
        labels: int64 [N].
        temperature: T, above 0.
        alpha: the soft labels' share, 0 to 1.
    """
    hard = functional.cross_entropy(logits, labels)
    if soft is None:
        return hard
    student = functional.log_softmax(logits / temperature, 1)
    teacher = functional.log_softmax(soft / temperature, 1)
    divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return alpha * temperature**2 * divergence + (1 - alpha) * hard


def fit_whole(module: nn.Module, settings: TrainConfig, context: Context) -> Learned:
    """Train every parameter of `module` in place, as a step does; gives what `fit` gives.

    Raises:
        DataError: there is too little to learn from.
        StepError: the loss is not finite.
    """
    context.progress(0.0, "asking the source model for its answers")
    data = corpus(context.source, settings)
    return fit(module, list(module.parameters()), data, settings, context.seed, context.progress)


def fit(
    module: nn.Module,
    parameters: Iterable[nn.Parameter],
    data: Corpus,
    settings: TrainConfig,
    seed: int,
    progress: Progress,
) -> Learned:
    """Train `parameters` of `module` in place; gives what a step logs of it: `losses` by epoch, `epoch_s` of one.

    Args:
        module: the network; left in evaluation mode.
        parameters: those that change.
        data: what to learn from.
        settings: epochs, rate and the rest; soft labels of a shifted sample stay those of the sample unshifted.
        seed: decides order and augmentation; weights that are exactly zero (pruned) stay so.
        progress: told after every tenth of an epoch.

    Raises:
        StepError: the loss is not finite.
    """
    # Channels last takes two thirds of the time on one CPU thread, with the same result.
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    random = torch.Generator().manual_seed(seed)
    batches = max(1, len(data.x) // settings.batch)
    parts = trained_parts(module, data.inputs(slice(1)), min(settings.batch, len(data.x)))
    optimizer = torch.optim.AdamW(parameters, settings.rate, weight_decay=settings.weight_decay, fused=True)
    pruned = pruned_weights(module)
    # One more than there are, for the rate moves on after the last batch too.
    total = settings.epochs * batches + 1
    rises = max(RISES, 2 / total)  # for one step or more: in none, it would divide by zero
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=total, pct_start=rises)
    losses: list[float] = []
    took_s: list[float] = []
    for epoch in range(settings.epochs):
        began_s = time.monotonic()
        module.train()
        order = torch.randperm(len(data.x), generator=random)
        seen = 0.0
        for batch in range(batches):
            rows = order[batch * settings.batch : (batch + 1) * settings.batch]
            seen += _step(module, optimizer, settings, parts, data.y[rows], *_view(data, rows, settings, random))
            for weight, stays in pruned:
                weight.data.mul_(stays)
            rate.step()
            beat()
            if batch % math.ceil(batches / 10) == 0:
                text = f"epoch {epoch + 1} of {settings.epochs}, loss {seen / (batch + 1):.3f}"
                progress((epoch * batches + batch) / total, text)
        losses.append(round(seen / batches, 4))
        took_s.append(time.monotonic() - began_s)
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    module.eval()
    # The loss was taken before the last move of the weights.
    if not all(t.isfinite().all() for t in module.state_dict().values() if t.is_floating_point()):
        raise StepError(DIVERGED)
    return {"losses": losses, "epoch_s": round(statistics.median(took_s), 4)}


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: TrainConfig,
    parts: int,
    labels: torch.Tensor,
    x: torch.Tensor,
    soft: torch.Tensor | None,
) -> float:
    """One step down the gradient of a batch's loss, which is returned; the batch goes through in `parts`."""
    optimizer.zero_grad()
    total = 0.0
    for rows in torch.arange(len(x)).tensor_split(parts):
        some = x[rows].contiguous(memory_format=torch.channels_last) if x.ndim == IMAGES else x[rows]
        taught = None if soft is None else soft[rows]
        loss = distillation_loss(module(some), taught, labels[rows], settings.temperature, settings.alpha)
        loss = loss * (len(rows) / len(x))
        if not torch.isfinite(loss):
            raise StepError(DIVERGED)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    optimizer.step()
    return total


def _view(
    data: Corpus, rows: torch.Tensor, settings: TrainConfig, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A batch as training shows it, with the teacher's logits."""
    x = data.inputs(rows)
    soft = None if data.soft is None else data.soft[rows]
    if x.ndim != IMAGES:
        return x, soft
    mirrored = torch.rand(len(rows), generator=random) < (0.5 if settings.flip and data.mirrors else 0.0)
    x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    if shift := settings.shift:
        height, width = x.shape[-2:]
        top, left = (int(torch.randint(0, 2 * shift + 1, (), generator=random)) for _ in range(2))
        x = functional.pad(x, (shift,) * 4)[..., top : top + height, left : left + width]
    return x, soft


def score(module: nn.Module, source: Source) -> float:
    """The share of val that a module gets right, or without labels its agreement with the source."""
    module.eval()
    split, scale = source.data.read("val").arrays, source.scale
    wanted = source.logits("val").argmax(1) if split.y is None else split.y
    size = answered_at_once(module, torch.from_numpy(split.x[:1]).float(), SCORED_AT_ONCE)
    hits = 0
    with torch.inference_mode():
        for start in range(0, len(split.x), size):
            rows = slice(start, start + size)
            answers = module(torch.from_numpy(split.x[rows]).float() * scale)
            hits += int((answers.argmax(1).numpy() == wanted[rows]).sum())
    return hits / len(split.x)
