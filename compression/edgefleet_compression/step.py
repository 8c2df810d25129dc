"""What every step is: a declaration, and a function from a state to a state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefleet_compression.models.source import Source
from edgefleet_compression.models.states import State
from edgefleet_compression.recipes.schemes import Scheme

Progress = Callable[[float, str], None]
Log = Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """What a step may use beside its state.

    `folder` is the step's own and empty; `progress` takes the share done (0 to 1) and a short text.
    """

    source: Source
    scheme: Scheme | None
    seed: int
    folder: Path
    progress: Progress


@dataclass(frozen=True)
class StepResult:
    """The new state, and what the step has to say about it as plain values."""

    state: State
    log: Log


Run = Callable[[Any, Any, Context], StepResult]
