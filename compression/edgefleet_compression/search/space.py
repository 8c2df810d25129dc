"""The recipes that a search may try, from what steps declare."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgefleet_compression.errors import RecipeError
from edgefleet_compression.kinds import SourceKind
from edgefleet_compression.models.ways import ANY_WAY, Ways
from edgefleet_compression.recipes.recipe import Recipe, recipe_from
from edgefleet_compression.registry import RegisteredStep, registry
from edgefleet_compression.search_roles import ALPHA, EXPORT, PLAIN, Searched, StepSpec, Tail, Trunk, step

log = logging.getLogger(__name__)

SOURCE = Trunk("source", "the source model", (), "source")


@dataclass(frozen=True)
class Space:
    """What a search may try.

    `networks` come the most promising first. `low_bits` are what weights may be trained to, the surest first, with the
    relative number of epochs each needs. `trials` bounds the quick trials of storing one network.
    """

    networks: tuple[Trunk, ...]
    tails: tuple[Tail, ...]
    low_bits: tuple[tuple[str, float], ...] = (("q4", 1.0), ("q3", 2.0), ("ternary", 2.0), ("binary", 2.0))
    trials: int = 64


def default_space() -> Space:
    """All trunks and tails that steps declare, by rank."""
    return space_of(registry().steps.values())


def space_of(steps: Iterable[RegisteredStep]) -> Space:
    """The trunks and tails that these steps declare; a plug-in's faulty one is logged and left out.

    Args:
        steps: ours before those of plug-ins.
    """
    trunks: dict[str, Trunk] = {}
    tails: dict[str, Tail] = {}
    for found in steps:
        if not isinstance(role := found.step.search, Searched):
            continue
        trunks |= {trunk.name: trunk for trunk in role.trunks if _is_usable(found, trunk, trunks)}
        tails |= {tail.name: tail for tail in role.tails if _is_usable(found, tail, tails)}
    return Space(tuple(sorted(trunks.values(), key=_rank)), tuple(sorted(tails.values(), key=_rank)))


def _rank(role: Trunk | Tail) -> float:
    return role.rank


def _is_usable(found: RegisteredStep, role: Trunk | Tail, known: Iterable[str]) -> bool:
    """Whether a search can try it: tests hold ours, plug-ins' are checked here."""
    if found.plugin is None:
        return True
    reason = next(_faults(role, known), None)
    if reason is not None:
        log.warning("searches leave out '%s' of plug-in %s: %s", role.name, found.plugin, reason)
    return reason is None


def _faults(role: Trunk | Tail, known: Iterable[str]) -> Iterator[str]:
    if role.name in known:
        yield "its name is taken: rename it"
    steps = role.steps
    if isinstance(role, Trunk):
        steps = (*steps, EXPORT)
    try:
        recipe_from({"name": role.name, "title": role.title, "steps": steps})
    except RecipeError as error:
        yield str(error)
        return
    if isinstance(role, Trunk) and not trainings(role):
        yield "no step of it trains: declare it as a tail"


def trainings(role: Trunk | Tail) -> int:
    """How many of its steps train."""
    return sum(_trains(spec) for spec in role.steps)


def _trains(spec: StepSpec) -> bool:
    return registry().named(spec.step).step.trains


def trained_for(trunk: Trunk, epochs: int, samples: int = 0) -> Trunk:
    """The trunk trained for so many epochs on the first `samples` of train; 0 means all."""
    given = {"epochs": epochs, **({"samples": samples} if samples else {})}
    steps = tuple(StepSpec(step=s.step, config={**s.config, **given}) if _trains(s) else s for s in trunk.steps)
    return replace(trunk, name=f"{trunk.name}-scout" if samples else trunk.name, steps=steps, epochs=epochs)


def recipe(trunk: Trunk, tail: Tail) -> Recipe:
    """The recipe of a trunk followed by a tail."""
    if trunk is SOURCE:
        return Recipe(name=tail.name, title=f"{trunk.title}, {tail.title}", steps=tail.steps)
    title = f"{trunk.title}, {trunk.epochs} epochs, {tail.title}"
    return Recipe(name=f"{trunk.name}-e{trunk.epochs}-{tail.name}", title=title, steps=(*trunk.steps, *tail.steps))


def is_stored(recipe: Recipe) -> bool:
    """Whether a recipe ends by storing weights as integers."""
    return recipe.steps[-1].step == "storage_quant"


def packed(recipe: Recipe) -> Recipe:
    """The same recipe, with the file laid out for the smallest encoding."""
    steps = (*recipe.steps, step("pack"))
    return Recipe(name=f"{recipe.name}-pack", title=f"{recipe.title}, packed", steps=steps)


def low_bits(name: str, epochs: int, tune: int) -> Tail:
    """A tail that trains a network to weights of few bits.

    Args:
        name: `q4` or `q3` for so many bits on average, `ternary` or `binary`.
        epochs: with rounded weights.
        tune: more epochs, of norms and biases alone.
    """
    few: dict[str, Any] = {"levels": name} if name in ("ternary", "binary") else {"mean_bits": int(name[1:])}
    what = f"{name} weights" if "levels" in few else f"weights of {name[1:]} bits on average"
    steps = (
        step("qat_weights", **few, epochs=epochs, alpha=ALPHA),
        step("tune_norms", snap=False, epochs=tune, alpha=ALPHA),
        EXPORT,
        step("storage_quant", lossless=True),
    )
    return Tail(f"{name}-e{epochs}", f"trained to {what}", steps)


def left_out(of: Space, source: SourceKind, *, train: bool, ways: Ways = ANY_WAY) -> dict[str, str]:
    """Why networks of a space cannot be made of a model, by their names.

    Args:
        of: the space.
        source: what the model comes as.
        train: whether it brings samples to train on.
        ways: what may be made of it, as far as that is known.
    """
    why = {trunk.name: recipe(trunk, PLAIN).refusal(source, train, ways) for trunk in of.networks}
    return {name: reason for name, reason in why.items() if reason is not None}
