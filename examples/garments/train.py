"""Train this example's detector on scenes of Fashion-MNIST, and write it as ONNX.

    python -m examples.garments.train --source /usr/share/datasets/fashion-mnist

Scenes of the 55,000 training pictures are made anew for each epoch. The epoch that is best on scenes of `val` is kept;
scenes of `test` are looked at once, at the end. Writes model.onnx beside this file, and finetuned.onnx, which was
trained a little longer; prints the figures of both.
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from examples.fashion.make_data import SEED, Split, full_splits
from examples.garments.make_data import SIDE, Scene, scenes
from rich.progress import Progress
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec
from edgefleet_tasks.registry import task_named

CLASSES, WIDTH = 10, 48
STRIDE = 8
CELLS = SIDE // STRIDE
NEAR = 1.2
"""Cells whose centre is so near that of a garment, in cells, learn to find it."""
Splits = dict[str, Split]
READING = BoxReading(OutputColumns(0, 0, 4), OutputColumns(1, 0, CLASSES), overlap=0.45)


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = (_conv(width, width, 1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the convolutions make of it."""
        return x + self.two(self.one(x))


def _conv(inner: int, outer: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU())


class Detector(nn.Module):
    """Finds garments in frames [N, 1, 96, 96] of 0 to 1.

    Gives boxes [N, 144, 4] as x1, y1, x2, y2 in pixels, and scores [N, 144, 10], logits: one box and ten scores for
    each cell of 8x8 pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(1, 16, 2), _conv(16, 32, 2), _conv(32, WIDTH, 2), Block(WIDTH), Block(WIDTH))
        self.sides = nn.Conv2d(WIDTH, 4, 1)
        self.classes = nn.Conv2d(WIDTH, CLASSES, 1)
        nn.init.constant_(self.classes.bias, -4.0)  # type: ignore[arg-type]
        middle = (torch.arange(CELLS) + 0.5) * STRIDE
        y, x = torch.meshgrid(middle, middle, indexing="ij")
        self.register_buffer("middles", torch.stack((x, y), -1).reshape(1, -1, 2), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes and scores."""
        found = self.body(x)
        # How far the sides are from the cell's middle, in cells: left, top, right, bottom.
        sides = F.softplus(self.sides(found)).flatten(2).transpose(1, 2) * STRIDE
        boxes = torch.cat((self.middles - sides[..., :2], self.middles + sides[..., 2:]), -1)
        return boxes, self.classes(found).flatten(2).transpose(1, 2)


def targets(batch: list[Scene]) -> tuple[torch.Tensor, torch.Tensor]:
    """For each cell the box that it learns, [N, 144, 4], and its classes, [N, 144, 10], where a garment is near."""
    boxes, classes = torch.zeros(len(batch), CELLS**2, 4), torch.zeros(len(batch), CELLS**2, CLASSES)
    middle = (np.arange(CELLS) + 0.5) * STRIDE
    for row, (_, labels) in enumerate(batch):
        for label, x1, y1, x2, y2 in labels:
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            far = np.maximum(np.abs(middle[None] - x), np.abs(middle[:, None] - y)) / STRIDE
            near = torch.from_numpy((far <= max(NEAR / 2, far.min())).ravel())
            boxes[row, near] = torch.tensor([x1, y1, x2, y2])
            classes[row, near] = 0
            classes[row, near, int(label)] = 1
    return boxes, classes


def loss_of(model: Detector, batch: list[Scene]) -> torch.Tensor:
    """Focal loss of the scores, and 1 - IoU of the boxes of cells that have one."""
    frames = torch.from_numpy(np.stack([frame for frame, _ in batch])).float() / 255
    boxes, classes = targets(batch)
    found, scores = model(frames)
    sure = torch.sigmoid(scores)
    wrong = torch.where(classes > 0, 1 - sure, sure)
    weight = torch.where(classes > 0, 0.75, 0.25) * wrong**2
    focal = (weight * F.binary_cross_entropy_with_logits(scores, classes, reduction="none")).sum()
    has = classes.sum(-1) > 0
    one, other = found[has], boxes[has]
    inner = (torch.min(one[:, 2:], other[:, 2:]) - torch.max(one[:, :2], other[:, :2])).clamp(min=0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (one, other)]
    overlap = inner / (areas[0] + areas[1] - inner)
    return (focal + (1 - overlap).sum()) / max(int(has.sum()), 1)


def figures(model: Detector, split: list[Scene]) -> tuple[float, float]:
    """The mean F1 of boxes, and mAP at IoU 0.5, as edgefleet counts them."""
    model.eval()
    task = task_named("detection")
    frames = torch.from_numpy(np.stack([frame for frame, _ in split])).float() / 255
    with torch.inference_mode():
        outputs = [[one.numpy() for one in model(frames[i : i + 100])] for i in range(0, len(frames), 100)]
    declared = Spec(boxes=READING, width=CLASSES)
    spec = task.spec(None, outputs, declared)  # type: ignore[arg-type]
    answers = [answer for run in outputs for answer in task.reduce(run, spec)]
    labels = [task.label(boxes, spec) for _, boxes in split]
    f1 = np.mean([task.score(answer, label, spec) for answer, label in zip(answers, labels, strict=True)])
    return float(f1), task.headline(answers, labels, spec).value


def train(
    model: Detector, splits: Splits, epochs: int, each: int, batch: int, peak: float, first_epoch: int = 0
) -> None:
    """Train in place with AdamW and a one-cycle rate up to `peak`; ends at the epoch with the best F1 on val."""
    val = scenes(splits["val"], 500, SEED - 1)
    steps = each // batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=epochs * steps)
    best, weights = 0.0, copy.deepcopy(model.state_dict())
    with Progress() as progress:
        bar = progress.add_task("training", total=epochs * steps)
        for epoch in range(epochs):
            made = scenes(splits["train"], each, SEED * 100 + first_epoch + epoch)
            model.train()
            for step in range(steps):
                loss = loss_of(model, made[step * batch : (step + 1) * batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                rate.step()
                progress.advance(bar)
            f1, average = figures(model, val)
            progress.print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.3f}, val F1 {f1:.4f}, mAP {average:.4f}")
            if f1 > best:
                best, weights = f1, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)


def write(model: Detector, out: Path) -> None:
    """Write the detector as ONNX, for any number of frames."""
    model.eval()
    example = torch.zeros(2, 1, SIDE, SIDE)
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.onnx.export(
        model,
        (example,),
        input_names=["frame"],
        output_names=["boxes", "scores"],
        dynamic_shapes=({0: batch},),
        dynamo=True,
        opset_version=18,
        verbose=False,
    )
    assert program is not None  # with dynamo there always is one
    program.optimize()
    onnx.save(without_traces(program.model_proto), out)


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without where in the code each node came from."""
    for one in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
    ):
        del one.metadata_props[:]
        one.doc_string = ""
    return model


def main() -> None:
    """Train, write the file, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder for both files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--finetune", type=int, default=1, help="epochs of finetuned.onnx, at a tenth of the rate")
    parser.add_argument("--scenes", type=int, default=7_000, help="for each epoch")
    parser.add_argument("--rate", type=float, default=4e-3, help="the highest learning rate")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    model = Detector()
    started = time.monotonic()
    splits = full_splits(args.source)
    test = scenes(splits["test"], 2_000, SEED - 2)
    trained = 0
    for name, epochs, rate in (("model", args.epochs, args.rate), ("finetuned", args.finetune, args.rate / 10)):
        train(model, splits, epochs, args.scenes, args.batch, rate, trained)
        trained += epochs
        path = args.out / f"{name}.onnx"
        write(model, path)
        f1, average = figures(model, test)
        print(f"{name}: test F1 {f1:.4f}, mAP {average:.4f} of {len(test):,} scenes; {path.stat().st_size:,} bytes")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
