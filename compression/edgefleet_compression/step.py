"""What a step of compression is, and all that the file of one needs: a declaration beside a function.

A step is one module with `STEP = Step(...)` and `def run(state, config, context) -> StepResult`. The controller
imports it to check recipes, so the module itself imports neither torch nor onnx nor onnxruntime: `run` does.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import with_config

from edgefleet_compression.errors import NothingChanged, StepError
from edgefleet_compression.kinds import ANY_FILE, BROUGHT, FILE, MODULE, SOURCE, TRAINING, Need, StateKind
from edgefleet_compression.models.states import BroughtState, OnnxState, SourceState, State, TorchState, copied
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.search_roles import DECLARED, EXPORT, NotSearched, Searched, StepSpec, Tail, Trunk, step
from edgefleet_compression.step_settings import StepConfig, TrainConfig

if TYPE_CHECKING:
    from edgefleet_compression.models.source import Source

__all__ = [
    "ANY_FILE",
    "BROUGHT",
    "EXPORT",
    "FILE",
    "MODULE",
    "SOURCE",
    "TRAINING",
    "BroughtState",
    "Context",
    "NotSearched",
    "NothingChanged",
    "OnnxState",
    "Searched",
    "SourceState",
    "Step",
    "StepConfig",
    "StepError",
    "StepResult",
    "StepSpec",
    "Tail",
    "TorchState",
    "TrainConfig",
    "Trunk",
    "copied",
    "step",
]

Progress = Callable[[float, str], None]
Log = Mapping[str, Any]
NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")


@with_config(DECLARED)
@dataclass(frozen=True, kw_only=True)
class Step:
    """A step's declaration: enough to refuse a recipe before anything runs, and to search with the step.

    Args:
        name: what recipes call it: that of its module, or of its entry point.
        config: its settings; a step that trains has `epochs` among them.
        consumes: the kinds of state that it takes.
        produces: the kind that it gives; None is the kind that it was given.
        technique: what it is an instance of, by which orders of techniques are compared; None: no technique by itself.
        search: how a search may use it, or why it doesn't.
        needs: what it needs beside its state.
        needs_for: the same by setting, for those that are given.
        libraries: what decides the bits of its result beside what its states and needs imply, by distribution.
        trains: whether it runs an optimizer, the costly kind.
        revision: rises when the same settings come to mean another result.

    Raises:
        ValueError: the declaration contradicts itself.
    """

    name: str
    config: type[StepConfig]
    consumes: frozenset[StateKind]
    produces: StateKind | None
    technique: str | None
    search: Searched | NotSearched
    needs: frozenset[Need] = frozenset()
    needs_for: Mapping[str, frozenset[Need]] = field(default_factory=dict)
    libraries: frozenset[str] = frozenset()
    trains: bool = False
    revision: int = 1

    def __post_init__(self) -> None:
        """See that the parts fit each other."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"a step's name is of a-z, 0-9 and _, at most 48, and begins with a letter: '{self.name}'")
        settings = self.config.model_fields
        if unknown := sorted(self.needs_for.keys() - settings.keys()):
            raise ValueError(f"needs_for names '{unknown[0]}', which is not a setting of '{self.name}'")
        if self.produces is None and "brought" in self.consumes:
            raise ValueError(f"'{self.name}' takes a file as it was brought and gives another kind: name that")
        if self.trains and "epochs" not in settings:
            raise ValueError(f"'{self.name}' trains and has no setting 'epochs': a search could not bound it")

    def gives(self, consumed: StateKind) -> StateKind:
        """The kind of state that comes out when `consumed` goes in."""
        return self.produces or consumed

    def needed(self, settings: StepConfig) -> frozenset[Need]:
        """What the step needs with these settings."""
        return self.needs.union(*(needs for name, needs in self.needs_for.items() if getattr(settings, name)))


@dataclass(frozen=True)
class Context:
    """What a step may use beside its state.

    `folder` is the step's own and empty; `progress` takes the share done (0 to 1) and a short text.
    """

    source: "Source"
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
