"""Which steps there are: ours, one file each in `steps`, and those that installed plug-ins bring.

A plug-in is a distribution with entry points of the group `edgefleet.steps`: each names a step and the module that
holds it. One that cannot be used is set aside with the reason, and takes nothing else down.
"""

import functools
import importlib
import logging
import multiprocessing
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import ModuleType

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from edgefleet_compression import steps
from edgefleet_compression.errors import DeclarationError, RecipeError
from edgefleet_compression.search_roles import NotSearched, Searched, StepSpec, Tail, Trunk
from edgefleet_compression.step import Run, Step
from edgefleet_compression.step_settings import StepConfig
from edgefleet_process.installed import Package, brought, package_of, said
from edgefleet_profiles.faults import words_of
from edgefleet_profiles.spelling import nearest

log = logging.getLogger(__name__)

GROUP = "edgefleet.steps"
HEAVY = frozenset({"torch", "onnx", "onnxruntime"})
"""What only a step's `run` may import: the controller, which never loads these, imports every declaration."""
_DECLARATION = TypeAdapter(Step)
_ROLES = {role.__name__ for role in (Searched, NotSearched)}

Plugin = Package
"""An installed distribution that brings steps."""


@dataclass(frozen=True)
class RegisteredStep:
    """A step that can be used: what it declares, what runs, and whose it is; None where it is ours."""

    step: Step
    run: Run
    plugin: Plugin | None = None


@dataclass(frozen=True)
class RefusedStep:
    """A step that a plug-in brings and that cannot be used, with what is wrong and what to do."""

    name: str
    plugin: Plugin
    reason: str

    def __str__(self) -> str:
        return f"step '{self.name}' of plug-in {self.plugin} is refused: {self.reason}"


@dataclass(frozen=True)
class Registry:
    """All steps by name, ours first, and what was refused."""

    steps: Mapping[str, RegisteredStep]
    refused: tuple[RefusedStep, ...] = ()

    def named(self, name: str) -> RegisteredStep:
        """The step of a name.

        Raises:
            RecipeError: there is none; with the nearest name, or with what is wrong with the plug-in that brings it.
        """
        if name in self.steps:
            return self.steps[name]
        refused = [str(one) for one in self.refused if one.name == name]
        raise RecipeError("; ".join(refused) or f"there is no step '{name}': {nearest(name, self.steps)}")

    def settings(self, spec: StepSpec) -> StepConfig:
        """A step's whole settings, defaults filled in.

        Raises:
            RecipeError: there is no such step, or it failed when it checked them.
            pydantic.ValidationError: the settings don't fit it.
        """
        found = self.named(spec.step)
        try:
            # By way of JSON, which has arrays only, strict validation takes lists for tuples, and no text for a number.
            given = to_json(spec.config, inf_nan_mode="constants")
            return found.step.config.model_validate_json(given, strict=True)
        except (ValidationError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plug-in's own check
            whose = f" of plug-in {found.plugin}" if found.plugin else ""
            raise RecipeError(
                f"step '{spec.step}'{whose} fails on its settings ({said(error)}): change them, or repair the step"
            ) from error


@functools.cache
def registry() -> Registry:
    """The steps of this process, found once."""
    own = {step.step.name: step for step in own_steps()}
    installed = brought(GROUP)
    found = with_plugins(own, installed.entries)
    if multiprocessing.parent_process() is None:  # workers need not say it again
        for wrong in (*installed.unreadable, *found.refused):
            log.warning("%s", wrong)
    return found


def own_steps() -> Iterator[RegisteredStep]:
    """The steps of this package, by walking its folder."""
    for module in pkgutil.iter_modules(steps.__path__):
        yield _registered(importlib.import_module(f"{steps.__name__}.{module.name}"), module.name, None)


def with_plugins(own: Mapping[str, RegisteredStep], entry_points: Iterable[EntryPoint]) -> Registry:
    """Our steps and those of plug-ins; a name that is ours, or that two plug-ins use, is refused.

    Args:
        own: our steps by name.
        entry_points: those of the plug-ins, in any order.
    """
    entries = sorted(entry_points, key=lambda entry: (entry.name, str(package_of(entry))))
    uses = Counter(entry.name for entry in entries)
    found, refused = dict(own), []
    for entry in entries:
        plugin = package_of(entry)
        try:
            if entry.name in own:
                raise DeclarationError("edgefleet has a step of that name: rename the plug-in's")
            if uses[entry.name] > 1:
                others = [str(package_of(other)) for other in entries if other.name == entry.name and other != entry]
                raise DeclarationError(f"{', '.join(others)} brings a step of that name too: uninstall one of them")
            found[entry.name] = _registered(_loaded(entry), entry.name, plugin)
        except DeclarationError as error:
            refused.append(RefusedStep(entry.name, plugin, str(error)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a module may do when it is looked at
            reason = f"{entry.value} cannot be used ({said(error)}): repair or uninstall it"
            refused.append(RefusedStep(entry.name, plugin, reason))
    return Registry(found, tuple(refused))


def _loaded(entry: EntryPoint) -> ModuleType:
    """The module of a plug-in's step; whatever its import raises is a DeclarationError."""
    before = HEAVY & sys.modules.keys()
    try:
        module = entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise DeclarationError(f"{entry.value} cannot be imported ({said(error)}): repair or uninstall it") from error
    if heavy := sorted(HEAVY & sys.modules.keys() - before):
        raise DeclarationError(f"importing {entry.value} imports {', '.join(heavy)}: import that inside run")
    if not isinstance(module, ModuleType):
        raise DeclarationError(f"{entry.value} is not a module: name the module that holds STEP and run")
    return module


def _registered(module: ModuleType, name: str, plugin: Plugin | None) -> RegisteredStep:
    step, run = getattr(module, "STEP", None), getattr(module, "run", None)
    if not isinstance(step, Step) or not callable(run):
        raise DeclarationError(f"{module.__name__} needs STEP = Step(...) and a function run beside it: add both")
    if step.name != name:
        raise DeclarationError(f"{module.__name__} declares '{step.name}' and is found as '{name}': use one name")
    _check(step, module.__name__)
    return RegisteredStep(step, run, plugin)


def _check(step: Step, module: str) -> None:
    """See that every part is what it is declared to be: annotations alone keep nothing out.

    Raises:
        DeclarationError: one is not, or the step refuses the settings that its own trunks and tails give it.
    """
    try:
        _DECLARATION.validate_python(step)
    except ValidationError as error:
        wrong = max(error.errors(), key=lambda one: len(one["loc"]))  # of a union, the member that was meant
        where = ".".join(str(part) for part in wrong["loc"] if part not in _ROLES)
        raise DeclarationError(f"{module} declares a wrong '{where}' ({wrong['msg']}): correct it") from None
    if not isinstance(role := step.search, Searched):
        return
    parts: tuple[Trunk | Tail, ...] = (*role.trunks, *role.tails)
    for part in parts:
        try:
            for spec in part.steps:
                if spec.step == step.name:
                    step.config.model_validate(spec.config)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            why = words_of(error.errors()[0]) if isinstance(error, ValidationError) else said(error)
            raise DeclarationError(
                f"{module} refuses the settings that its own '{part.name}' gives it ({why}): correct either"
            ) from error
