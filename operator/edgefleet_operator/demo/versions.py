"""Makes further versions of an example's model: a damaged one and a finetuned one."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from safetensors.numpy import load, save

from edgefleet_contract.card import CARD_FILE
from edgefleet_operator.demo.examples import DemoExample
from edgefleet_operator.errors import OperatorError
from edgefleet_process.children import run_file

DAMAGE_S = 300
"""For a program that reads and writes an ONNX file on a busy machine."""


def damaged(example: DemoExample) -> bytes:
    """The model's file, damaged so that it confuses classes: every answer looks sound, but many are wrong.

    Raises:
        OperatorError: the program that damages ONNX files failed.
    """
    how = example.versions.damage
    if example.card.onnx is None:
        return damage(example.model_file.read_bytes(), how.at, how.swap)
    swaps = [word for one, other in how.swap for word in ("--swap", f"{one}:{other}")]
    with tempfile.TemporaryDirectory(prefix="edgefleet-") as folder:
        out = Path(folder) / "damaged.onnx"
        program = example.folder.parent / "damage.py"
        command = run_file(program, str(example.model_file), str(out), "--output", how.at, *swaps)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DAMAGE_S)
        if done.returncode:
            raise OperatorError(f"{program} ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
        return out.read_bytes()


def damage(weights: bytes, head: str, swap: Sequence[tuple[int, int]]) -> bytes:
    """Swap classes in the last layer of weights.

    Args:
        weights: the weights in safetensors format.
        head: the name of the last layer, with `.weight` [classes, features] and `.bias` [classes].
        swap: pairs of classes.
    """
    tensors = load(weights)
    for name in (f"{head}.weight", f"{head}.bias"):
        rows = tensors[name].copy()
        for a, b in swap:
            rows[[a, b]] = rows[[b, a]]
        tensors[name] = rows
    return save(tensors)


def make_version(example: DemoExample, folder: Path, version: int, model: bytes) -> Path:
    """Make a model's folder with the example's card and data, but another file and another version."""
    card, file = example.card, example.model_file
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(example.folder / card.data.file, folder / card.data.file)
    (folder / file.name).write_bytes(model)
    text = (example.folder / CARD_FILE).read_text(encoding="utf-8")
    text = re.sub(r"^version = \d+", f"version = {version}", text, count=1, flags=re.MULTILINE)
    text = text.replace(card.files[file.name], sha256(model).hexdigest())
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
    return folder
