"""What can be set about storing a network without training: a small menu is tried whole, a large one is sampled."""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

ENUMERATED = 48
"""The largest menu that is tried whole."""
START = 16
"""How many of a large menu are drawn by chance before the sampler learns from them."""

Setting = Mapping[str, float]
Scores = tuple[float, float]
"""What is to be small of a trial: encoding bytes, and the negative SQNR in dB."""

BY_KIND: Mapping[str, tuple[int, ...]] = {
    "stem": (6, 7, 8),
    "dense": (3, 4, 5, 6, 7, 8),
    "depthwise": (4, 5, 6, 7, 8),
    "pointwise": (3, 4, 5, 6, 7, 8),
    "linear": (3, 4, 5, 6, 8),
}
SPARSITY = (0.0, 0.3, 0.5, 0.7)
MEAN_BITS = (0.0, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0)
"""Bits of a weight on average, spread by sensitivity; 0 leaves them to the kinds."""


@dataclass(frozen=True)
class SettingsMenu:
    """The values that each knob may take."""

    knobs: Mapping[str, tuple[float, ...]]

    @property
    def size(self) -> int:
        """How many settings there are."""
        return math.prod(len(values) for values in self.knobs.values())

    def __iter__(self) -> Iterator[dict[str, float]]:
        for values in itertools.product(*self.knobs.values()):
            yield dict(zip(self.knobs, values, strict=True))


def menu_for(kinds: Collection[str]) -> SettingsMenu:
    """The knobs of a network whose weights are of these kinds; one kind alone needs no bits spread by sensitivity."""
    knobs: dict[str, tuple[float, ...]] = {kind: values for kind, values in BY_KIND.items() if kind in kinds}
    if len(knobs) > 1:
        knobs["mean_bits"] = MEAN_BITS
    return SettingsMenu({**knobs, "sparsity": SPARSITY})


def explore(menu: SettingsMenu, most: int, seed: int, score: Callable[[Setting], Scores | None]) -> None:
    """Score every setting of a small menu, or `most` of a large one, chosen by what the ones before have shown.

    Large menus go to Optuna's multi-objective tree-structured Parzen estimator (Ozaki et al. 2022).

    Args:
        menu: what there is.
        most: trials at most.
        seed: of the sampler.
        score: scores one setting, to be small; None ends it.
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
