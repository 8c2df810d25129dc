"""Settings for storing a network without training: a small menu is tried in full, a large one sampled."""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from edgefleet_compression.layer_kinds import LayerKind

ENUMERATED = 48
"""The largest menu that is tried in full."""
START = 16
"""Random trials before the sampler learns from them."""

StorageSetting = Mapping[str, float]
Scores = tuple[float, float]
"""What a trial minimizes: encoding bytes, and the negative SQNR in dB."""

BY_KIND: Mapping[str, tuple[int, ...]] = {
    "stem": (6, 7, 8),
    "dense": (3, 4, 5, 6, 7, 8),
    "depthwise": (4, 5, 6, 7, 8),
    "pointwise": (3, 4, 5, 6, 7, 8),
    "linear": (3, 4, 5, 6, 8),
    "recurrent": (3, 4, 5, 6, 8),
    "table": (4, 5, 6, 8),
}
PRUNED = frozenset(get_args(LayerKind))
SPARSITY = (0.0, 0.3, 0.5, 0.7)
MEAN_BITS = (0.0, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0)
"""Average bits of a weight, spread by sensitivity; with 0, bits are set by kind."""


@dataclass(frozen=True)
class SettingsMenu:
    """The values that each knob may take."""

    knobs: Mapping[str, tuple[float, ...]]

    @property
    def size(self) -> int:
        """The number of settings."""
        return math.prod(len(values) for values in self.knobs.values())

    def __iter__(self) -> Iterator[dict[str, float]]:
        for values in itertools.product(*self.knobs.values()):
            yield dict(zip(self.knobs, values, strict=True))


def menu_for(kinds: Collection[str]) -> SettingsMenu:
    """The menu of a network with these kinds of weights.

    Bits are spread by sensitivity only among several kinds, and only weights of layers are pruned.
    """
    knobs: dict[str, tuple[float, ...]] = {kind: values for kind, values in BY_KIND.items() if kind in kinds}
    if len(knobs) > 1:
        knobs["mean_bits"] = MEAN_BITS
    if not PRUNED.isdisjoint(kinds):
        knobs["sparsity"] = SPARSITY
    return SettingsMenu(knobs)


def explore(menu: SettingsMenu, most: int, seed: int, score: Callable[[StorageSetting], Scores | None]) -> None:
    """Score every setting of a small menu, or up to `most` of a large one.

    Optuna's multi-objective tree-structured Parzen estimator (Ozaki et al. 2022) picks from large menus.

    Args:
        menu: the settings.
        most: the most trials.
        seed: of the sampler.
        score: the scores of a setting, to minimize; returning None ends the exploration.
    """
    if menu.size <= min(ENUMERATED, most):
        for setting in menu:
            if score(setting) is None:
                return
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=START)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    for _ in range(most):
        trial = study.ask()
        scores = score({name: trial.suggest_categorical(name, values) for name, values in menu.knobs.items()})
        if scores is None:
            return
        study.tell(trial, scores)
