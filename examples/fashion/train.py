"""Train this example's source model on the full Fashion-MNIST.

    python examples/fashion/train.py --source /usr/share/datasets/fashion-mnist
    python examples/fashion/train.py --start weights.safetensors --rate 0.01 --epochs 2 --out finetuned.safetensors

Trains on the 55,000, keeps the epoch that is best on the 5,000 of `val`, and looks at the 10,000 of `test` once,
at the end. Writes weights.safetensors beside this file and prints the figures that model.toml pins.
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from make_data import SEED, Split, full_splits
from numpy.typing import NDArray
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from torch import nn

from edgefleet_compression.networks.architectures import build

SCALE = 1 / 255
CLASSES = 10


def as_input(x: NDArray[np.uint8]) -> torch.Tensor:
    """Images uint8 [N, 1, 28, 28] as the model's float32 input."""
    return torch.from_numpy(x.astype(np.float32)) * SCALE


def accuracy(model: nn.Module, split: Split) -> float:
    """The share of a split that the model gets right."""
    model.eval()
    x, y = split
    with torch.inference_mode():
        hits = [model(as_input(x[i : i + 500])).argmax(1).numpy() == y[i : i + 500] for i in range(0, len(x), 500)]
    return float(np.concatenate(hits).mean())


def augmented(x: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """A batch [N, 1, 28, 28] mirrored at random and shifted by up to two pixels."""
    x = torch.where(torch.rand(len(x), 1, 1, 1, generator=random) < 0.5, x.flip(3), x)
    dy, dx = (int(torch.randint(0, 5, (), generator=random)) for _ in range(2))
    return nn.functional.pad(x, (2, 2, 2, 2))[:, :, dy : dy + 28, dx : dx + 28]


def train(model: nn.Module, splits: dict[str, Split], epochs: int, batch: int, peak: float) -> float:
    """Train in place with SGD and a one-cycle rate up to `peak`; ends at the best epoch on val, and returns that."""
    x, y = as_input(splits["train"][0]), torch.from_numpy(splits["train"][1].astype(np.int64))
    random = torch.Generator().manual_seed(SEED)
    steps = len(x) // batch
    optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9, weight_decay=5e-4, nesterov=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=epochs * steps)
    best, weights = 0.0, copy.deepcopy(model.state_dict())
    with Progress() as progress:
        bar = progress.add_task("training", total=epochs * steps)
        for epoch in range(epochs):
            model.train()
            order = torch.randperm(len(x), generator=random)
            for step in range(steps):
                rows = order[step * batch : (step + 1) * batch]
                loss = nn.functional.cross_entropy(model(augmented(x[rows], random)), y[rows])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                rate.step()
                progress.advance(bar)
            val = accuracy(model, splits["val"])
            progress.print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.3f}, val {val:.4f}")
            if val > best:
                best, weights = val, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    return best


def main() -> None:
    """Train, write the weights, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "weights.safetensors")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rate", type=float, default=0.1, help="the highest learning rate")
    parser.add_argument("--start", type=Path, help="weights to go on from, to finetune them")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    splits = full_splits(args.source)
    model = build("resnet_s", {}, splits["train"][0].shape[1:], CLASSES, seed=SEED)
    if args.start:
        model.load_state_dict(load_file(args.start))
    started = time.monotonic()
    best = train(model, splits, args.epochs, args.batch, args.rate)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, args.out)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters, {time.monotonic() - started:.0f} s")
    print(f"val  {best:.4f} of {len(splits['val'][0]):,}")
    print(f"test {accuracy(model, splits['test']):.4f} of {len(splits['test'][0]):,}")


if __name__ == "__main__":
    main()
