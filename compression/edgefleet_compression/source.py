"""The source model of a build: its card, its data, its module, and what it answers (the teacher's soft labels)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from edgefleet_compression.cache import Cache
from edgefleet_compression.card import CARD_FILE, ModelCard, check_files, parse_card
from edgefleet_compression.data import Data, Samples, SplitName
from edgefleet_compression.errors import CardError
from edgefleet_compression.states import TorchState, torch_state
from edgefleet_protocol.canonical import digest_of

BATCH = 250
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """A model as it was registered; `digest` names its weights, architecture and preprocessing."""

    card: ModelCard
    data: Data
    state: TorchState
    digest: str
    cache: Cache

    def logits(self, split: SplitName, mirrored: bool = False) -> Logits:
        """What the source model answers to a split, float32 [N, classes], as it is or mirrored left to right."""
        key = digest_of(
            {
                "logits": split,
                "mirrored": mirrored,
                "source": self.digest,
                "data": self.card.data.sha256,
                "torch": torch.__version__,
            }
        )

        def fill(folder: Path) -> None:
            answers = self._answers(self.data.split(split).x, mirrored)
            save_file({"logits": answers}, folder / "logits.safetensors")

        folder, _ = self.cache.get_or_put(key, fill)
        return np.asarray(load_file(folder / "logits.safetensors")["logits"], np.float32)

    def _answers(self, x: Samples, mirrored: bool) -> Logits:
        scale = self.card.preprocessing.scale
        answers = []
        with torch.inference_mode():
            for start in range(0, len(x), BATCH):
                batch = torch.from_numpy(x[start : start + BATCH]).float() * scale
                answers.append(self.state.module(batch.flip(-1) if mirrored else batch).numpy())
        return np.concatenate(answers)


def open_source(files: dict[str, Path], cache: Cache) -> Source:
    """The source model of the files that were registered with it.

    Args:
        files: where each file lies, by its name in the model's folder; model.toml is one of them.
        cache: where answers of the source model are kept.

    Raises:
        CardError: model.toml or a file it names is missing or wrong.
    """
    if CARD_FILE not in files:
        raise CardError(f"no {CARD_FILE} is given: register the model's folder again")
    card = parse_card(files[CARD_FILE].read_text(encoding="utf-8"))
    check_files(card, files)
    classes = len(card.labels)
    data = Data(files[card.data.file], card.input.shape, classes)
    weights = files[card.weights.file]
    state = torch_state(card.architecture.name, card.architecture.args, card.input.shape, classes, weights)
    digest = digest_of({"state": state.digest(), "scale": card.preprocessing.scale})
    return Source(card, data, state, digest, cache)
