"""Makes further versions of the example model: a damaged one and a finetuned one."""

import re
import shutil
from hashlib import sha256
from pathlib import Path

from safetensors.numpy import load, save

from edgefleet_contract.card import CARD_FILE, load_card
from edgefleet_contract.errors import CardError

FINETUNED = "finetuned.safetensors"
SWAPPED = ((0, 6), (2, 4))
"""Pairs of classes whose scores are swapped: t-shirt and shirt, pullover and coat."""


def damage(weights: bytes, head: str) -> bytes:
    """Damage weights so that the last layer confuses classes: every answer looks sound, but many are wrong.

    Args:
        weights: the weights in safetensors format.
        head: the name of the last layer, with `.weight` [classes, features] and `.bias` [classes].
    """
    tensors = load(weights)
    for name in (f"{head}.weight", f"{head}.bias"):
        rows = tensors[name].copy()
        for a, b in SWAPPED:
            rows[[a, b]] = rows[[b, a]]
        tensors[name] = rows
    return save(tensors)


def make_version(source: Path, folder: Path, version: int, weights: bytes) -> Path:
    """Make a model's folder with the source's card and data, but other weights and another version."""
    card = load_card(source)
    if card.weights is None:
        raise CardError(f"{source} has no weights file to change: give the folder of a trained architecture")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(source / card.data.file, folder / card.data.file)
    (folder / card.weights.file).write_bytes(weights)
    text = (source / CARD_FILE).read_text(encoding="utf-8")
    text = re.sub(r"^version = \d+", f"version = {version}", text, count=1, flags=re.MULTILINE)
    text = text.replace(card.weights.sha256, sha256(weights).hexdigest())
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
    return folder
