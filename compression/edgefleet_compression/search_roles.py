"""How a search may use a step: in networks that it trains, in ways to make a small file of one, or not at all.

A search tries recipes of a trunk (what trains a network) followed by a tail (what makes a small file of it). Trunks
cost minutes and are shared by all their tails through the cache; tails without training cost seconds.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, with_config

RATE, WEIGHT_DECAY, ALPHA = 0.02, 0.001, 0.9
"""The highest rate of a one-cycle training, and the soft labels' share: good for every small network tried so far."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,25}")
"""Of a trunk or a tail: so short that a recipe's name, at most 64, holds both with the epochs."""

Family = Literal["source", "student", "pruned"]

DECLARED = ConfigDict(strict=True, revalidate_instances="always", allow_inf_nan=False)
"""How the parts of a declaration are checked, see `registry`: nothing is converted, nothing is believed."""


class StepSpec(BaseModel):
    """A step by name, with its settings; those left out take the step's defaults. A recipe checks both."""

    model_config = ConfigDict(frozen=True, extra="forbid", revalidate_instances="always")

    step: str
    config: dict[str, Any] = Field(default_factory=dict)


def step(name: str, **config: Any) -> StepSpec:
    """One step with its settings."""
    return StepSpec(step=name, config=config)


EXPORT = step("export")


@with_config(DECLARED)
@dataclass(frozen=True)
class Trunk:
    """Steps that end in a network; those that train do so for `epochs`, which a search sets.

    Networks of one `family` start alike, so that what they are worth after a moment can be compared. `patience` is the
    share of a student's epochs that this one needs: a network that was cut knows most of it already. `rank` orders the
    trunks of a space, the most promising first.
    """

    name: str
    title: str
    steps: tuple[StepSpec, ...]
    family: Family
    epochs: int = 0
    patience: float = 1.0
    rank: float = 10.0

    def __post_init__(self) -> None:
        """See that the name fits a recipe's, and that the family is a known one: no other would ever be trained."""
        _check_name(self.name)
        if self.family not in get_args(Family):
            raise ValueError(f"the trunk '{self.name}' is of family '{self.family}': use {', '.join(get_args(Family))}")


@with_config(DECLARED)
@dataclass(frozen=True)
class Tail:
    """Steps from a network, or from the source's file, to the file of a variant.

    `rank` orders tails where time is short, 0 first. Its whole part is the round in which a tail is tried: 0 and 1 one
    after the other, 2 and more when everything else was tried.
    """

    name: str
    title: str
    steps: tuple[StepSpec, ...]
    rank: float = 2.9

    def __post_init__(self) -> None:
        """See that the name fits a recipe's."""
        _check_name(self.name)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"'{name}' cannot name a trunk or a tail: use a-z, 0-9, - and _, at most 26 in all")


PLAIN = Tail("fp32", "as it is", (EXPORT,), rank=0)
AS_BROUGHT = Tail("as-brought", "byte for byte as it was brought", (step("as_brought"),), rank=0)


@with_config(DECLARED)
@dataclass(frozen=True)
class Searched:
    """A search uses the step: in these trunks and tails, in those of other steps, or in a round of its own."""

    trunks: tuple[Trunk, ...] = ()
    tails: tuple[Tail, ...] = ()


@with_config(DECLARED)
@dataclass(frozen=True)
class NotSearched:
    """No search uses the step by itself; `because` completes that sentence."""

    because: str

    def __post_init__(self) -> None:
        """See that there is a reason."""
        if not self.because.strip():
            raise ValueError("a step that is not searched says why: give the reason")
