"""The one training loop: hard labels and a teacher's soft ones, Adam under a one-cycle rate."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgefleet_compression.data import Split
from edgefleet_compression.errors import StepError
from edgefleet_compression.layers import pruned_weights
from edgefleet_compression.source import Source
from edgefleet_compression.step import Progress
from edgefleet_compression.step_configs import TrainConfig


@dataclass(frozen=True)
class Corpus:
    """Training samples and what is right about them.

    x float32 [N, C, H, W], y int64 [N], soft float32 [V, N, classes]: the teacher's logits of each of V views
    (as it is, mirrored), or None without a teacher.
    """

    x: torch.Tensor
    y: torch.Tensor
    soft: torch.Tensor | None


def corpus(source: Source, settings: TrainConfig) -> Corpus:
    """The train split with the source model's answers to each view that training will show."""
    split = source.data.split("train").first(settings.samples)
    x = torch.from_numpy(split.x).float() * source.card.preprocessing.scale
    soft = None
    if settings.alpha > 0:
        views = [source.logits("train", mirrored) for mirrored in ([False, True] if settings.flip else [False])]
        soft = torch.from_numpy(np.stack(views)[:, : len(x)])
    return Corpus(x, torch.from_numpy(split.labels()), soft)


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


def fit(
    module: nn.Module,
    parameters: Iterable[nn.Parameter],
    data: Corpus,
    settings: TrainConfig,
    seed: int,
    progress: Progress,
) -> list[float]:
    """Train `parameters` of `module` in place; returns the mean loss of each epoch.

    Args:
        module: the network; left in evaluation mode.
        parameters: those that change.
        data: what to learn from.
        settings: epochs, rate and the rest; soft labels of a shifted sample stay those of the sample unshifted.
        seed: decides order and augmentation; weights that are exactly zero (pruned) stay so.
        progress: told after every tenth of an epoch.

    Raises:
        StepError: the loss is no number any more.
    """
    # Channels last takes two thirds of the time on one CPU thread, with the same result.
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    random = torch.Generator().manual_seed(seed)
    batches = max(1, len(data.x) // settings.batch)
    optimizer = torch.optim.AdamW(parameters, settings.rate, weight_decay=settings.weight_decay)
    pruned = pruned_weights(module)
    # One more than there are, for the rate moves on after the last batch too.
    total = settings.epochs * batches + 1
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=total, pct_start=0.2)
    losses: list[float] = []
    for epoch in range(settings.epochs):
        module.train()
        order = torch.randperm(len(data.x), generator=random)
        seen = 0.0
        for batch in range(batches):
            rows = order[batch * settings.batch : (batch + 1) * settings.batch]
            seen += _step(module, optimizer, settings, data.y[rows], *_view(data, rows, settings, random))
            for weight, stays in pruned:
                weight.data.mul_(stays)
            rate.step()
            if batch % math.ceil(batches / 10) == 0:
                text = f"epoch {epoch + 1} of {settings.epochs}, loss {seen / (batch + 1):.3f}"
                progress((epoch * batches + batch) / total, text)
        losses.append(round(seen / batches, 4))
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    module.eval()
    return losses


def _step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: TrainConfig,
    labels: torch.Tensor,
    x: torch.Tensor,
    soft: torch.Tensor | None,
) -> float:
    """One step down the gradient of a batch's loss, which is returned."""
    answers = module(x.contiguous(memory_format=torch.channels_last))
    loss = distillation_loss(answers, soft, labels, settings.temperature, settings.alpha)
    if not torch.isfinite(loss):
        raise StepError("training diverged, its loss is no number any more: lower the rate")
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def _view(
    data: Corpus, rows: torch.Tensor, settings: TrainConfig, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A batch as training shows it, with the teacher's logits of just that view."""
    x = data.x[rows]
    mirrored = torch.rand(len(rows), generator=random) < (0.5 if settings.flip else 0.0)
    x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    soft = None if data.soft is None else data.soft[mirrored.long(), rows]
    if shift := settings.shift:
        height, width = x.shape[-2:]
        top, left = (int(torch.randint(0, 2 * shift + 1, (), generator=random)) for _ in range(2))
        x = functional.pad(x, (shift,) * 4)[..., top : top + height, left : left + width]
    return x, soft


def accuracy(module: nn.Module, split: Split, scale: float) -> float:
    """The share of a split that a module gets right."""
    module.eval()
    hits, y = 0, split.labels()
    with torch.inference_mode():
        for start in range(0, len(split.x), 500):
            x = torch.from_numpy(split.x[start : start + 500]).float() * scale
            hits += int((module(x).argmax(1).numpy() == y[start : start + 500]).sum())
    return hits / len(split.x)
