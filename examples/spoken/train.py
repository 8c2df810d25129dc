"""Train this example's keyword spotter on spoken digits, and write it as ONNX.

    python -m examples.spoken.train --source free-spoken-digit-dataset/recordings

Sequences are made anew for each epoch, from the recordings of `train`. The epoch that is best on `val` is kept; `test`
is looked at once, at the end. Writes model.onnx beside this file, and finetuned.onnx, which was trained a little
longer; prints the figures of both.
"""

import argparse
import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from examples.spoken.make_data import FEATURES, NAMES, SEED, Word, sequence, words
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.progress import Progress
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

WIDTH, HIDDEN = 48, 96
OPSET, IR_VERSION = 18, 10
Sequence = tuple[NDArray[np.float32], NDArray[np.int64]]


class Spotter(nn.Module):
    """Tells for each step which digit was said: features [N, steps, 40] to [N, steps, 11], logits."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.first = nn.Linear(FEATURES, WIDTH)
        self.gru = nn.GRU(WIDTH, HIDDEN, batch_first=True)
        self.last = nn.Linear(HIDDEN, len(NAMES))

    def listen(self, made: "list[Sequence]") -> None:
        """Learn how loud bands usually are."""
        heard = np.concatenate([x for x, _ in made])
        self.mean.copy_(torch.from_numpy(heard.mean(0)))
        self.scale.copy_(torch.from_numpy(1 / heard.std(0)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of each step."""
        found, _ = self.gru(F.relu(self.first((x - self.mean) * self.scale)))
        return self.last(found)


def sequences(split: list[Word], seed: int) -> list[Sequence]:
    """A sequence of each word."""
    random = np.random.default_rng(seed)
    return [sequence(word, random) for word in split]


def batch_of(made: list[Sequence]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences as long as the longest; labels are -1 behind the end."""
    pad = nn.utils.rnn.pad_sequence
    x = pad([torch.from_numpy(x) for x, _ in made], batch_first=True)
    return x, pad([torch.from_numpy(y) for _, y in made], batch_first=True, padding_value=-1)


def figures(model: Spotter, made: list[Sequence]) -> tuple[float, float]:
    """The share of steps that are right, and of words whose last step is."""
    model.eval()
    x, y = batch_of(made)
    with torch.inference_mode():
        right = model(x).argmax(2) == y
    steps = float(right[y >= 0].float().mean())
    last = (y >= 0).sum(1) - 1
    return steps, float(right[torch.arange(len(y)), last].float().mean())


def train(
    model: Spotter, splits: dict[str, list[Word]], epochs: int, batch: int, peak: float, first_epoch: int = 0
) -> None:
    """Train in place with AdamW and a one-cycle rate up to `peak`; ends at the epoch with most steps of val right."""
    val = sequences(splits["val"], SEED - 1)
    steps = -(-len(splits["train"]) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=epochs * steps)
    random, best, weights = torch.Generator().manual_seed(SEED + first_epoch), 0.0, copy.deepcopy(model.state_dict())
    with Progress() as progress:
        bar = progress.add_task("training", total=epochs * steps)
        for epoch in range(epochs):
            made = sequences(splits["train"], SEED * 100 + first_epoch + epoch)
            order = torch.randperm(len(made), generator=random).tolist()
            model.train()
            for begin in range(0, len(made), batch):
                x, y = batch_of([made[place] for place in order[begin : begin + batch]])
                louder = 6 * torch.randn(len(x), 1, 1, generator=random)  # decibels: how near the microphone is
                loss = F.cross_entropy(model(x + louder).flatten(0, 1), y.flatten(), ignore_index=-1)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                rate.step()
                progress.advance(bar)
            right, heard = figures(model, val)
            progress.print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.3f}, val {right:.4f} of steps, {heard:.4f}")
            if right > best:
                best, weights = right, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)


def write(model: Spotter, out: Path) -> None:
    """Write the spotter as ONNX for one step: features [batch, 40] and state [batch, 96] in, scores and state out."""
    weights = _weights({name: tensor.numpy() for name, tensor in model.state_dict().items()})
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["normal"]),
        helper.make_node("Gemm", ["normal", "first_weight", "first_bias"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["seen"]),
        helper.make_node("Unsqueeze", ["seen", "axis"], ["step"]),
        helper.make_node("Unsqueeze", ["state", "axis"], ["before"]),
        helper.make_node(
            "GRU",
            ["step", "input_weights", "state_weights", "gate_biases", "", "before"],
            ["", "after"],
            hidden_size=HIDDEN,
            linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["after", "axis"], ["next_state"]),
        helper.make_node("Gemm", ["next_state", "last_weight", "last_bias"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "spotter",
        [_floats("features", FEATURES), _floats("state", HIDDEN)],
        [_floats("scores", len(NAMES)), _floats("next_state", HIDDEN)],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    onnx.checker.check_model(made, full_check=True)
    onnx.save(made, out)


def _weights(own: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """The weights as ONNX has them, by the names of the graph."""
    return {
        "mean": own["mean"],
        "scale": own["scale"],
        "first_weight": own["first.weight"].T,
        "first_bias": own["first.bias"],
        "last_weight": own["last.weight"].T,
        "last_bias": own["last.bias"],
        "input_weights": _gates(own["gru.weight_ih_l0"])[None],
        "state_weights": _gates(own["gru.weight_hh_l0"])[None],
        "gate_biases": np.concatenate([_gates(own["gru.bias_ih_l0"]), _gates(own["gru.bias_hh_l0"])])[None],
        "axis": np.array([0], np.int64),
    }


def _gates(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gates in the order of ONNX, update, reset, new; torch has reset first."""
    reset, update, new = np.split(array, 3)
    return np.concatenate([update, reset, new])


def _floats(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])


def main() -> None:
    """Train, write the file, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="the folder 'recordings' of the data set")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder for both files")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--finetune", type=int, default=4, help="epochs of finetuned.onnx, at a tenth of the rate")
    parser.add_argument("--rate", type=float, default=4e-3, help="the highest learning rate")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    splits = words(args.source)
    model = Spotter()
    started = time.monotonic()
    model.listen(sequences(splits["train"], SEED))
    test = sequences(splits["test"], SEED - 1)
    trained = 0
    for name, epochs, rate in (("model", args.epochs, args.rate), ("finetuned", args.finetune, args.rate / 10)):
        train(model, splits, epochs, args.batch, rate, trained)
        trained += epochs
        path = args.out / f"{name}.onnx"
        write(model, path)
        right, heard = figures(model, test)
        told = f"test {right:.4f} of steps, {heard:.4f} of {len(test)} words"
        print(f"{name}: {told}; {path.stat().st_size:,} bytes")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
