"""A recipe: an ordered list of steps, checked for order and settings before anything runs."""

import difflib
import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgefleet_compression.errors import RecipeError
from edgefleet_compression.recipes.signatures import SIGNATURES, Need, SourceKind, StateKind
from edgefleet_compression.recipes.step_configs import StepConfig
from edgefleet_profiles.names import Name
from edgefleet_protocol.canonical import digest_of


class StepSpec(BaseModel):
    """A step by name, with its settings; those left out take the step's defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    config: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _settings_fit_the_step(self) -> "StepSpec":
        if self.step not in SIGNATURES:
            raise ValueError(f"there is no step '{self.step}': {_nearest(self.step, SIGNATURES)}")
        try:
            self.settings()
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            reason = first["msg"]
            if first["type"] == "extra_forbidden":
                reason = f"there is none of that name: {_nearest(where, SIGNATURES[self.step].config.model_fields)}"
            raise ValueError(f"'{self.step}', setting '{where}': {reason}") from None
        return self

    def settings(self) -> StepConfig:
        """The step's whole settings, defaults filled in."""
        return SIGNATURES[self.step].config.model_validate(self.config)


class Recipe(BaseModel):
    """An ordered list of steps from the source model to an ONNX file; some need its torch module, see `refusal`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: str
    steps: tuple[StepSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_step_takes_what_the_one_before_gives(self) -> "Recipe":
        kind: StateKind = "torch"
        giver = quantizer = "the source model"
        for spec in self.steps:
            signature = SIGNATURES[spec.step]
            if kind not in signature.consumes:
                raise ValueError(_wrong_order(spec.step, kind, giver, quantizer))
            given, kind, giver = kind, signature.gives(kind), f"'{spec.step}'"
            quantizer = giver if (given, kind) == ("onnx", "quantized") else quantizer
        if kind in ("torch", "brought"):
            raise ValueError(f"it ends in {_named(kind)}, and a device runs ONNX: end it with 'export' or after")
        return self

    @model_validator(mode="after")
    def _weights_are_trained_for_the_grid_they_get(self) -> "Recipe":
        trained: bool | None = None
        for spec in self.steps:
            per_channel = getattr(spec.settings(), "per_channel", None)
            if spec.step == "qat_int8":
                trained = per_channel
            elif "scheme" in SIGNATURES[spec.step].needs and trained not in (None, per_channel):
                raise ValueError(
                    f"'qat_int8' trains for per_channel = {str(trained).lower()}, which '{spec.step}' has not: "
                    "give both the same"
                )
        return self

    def refusal(self, source: SourceKind, train: bool | None = None) -> str | None:
        """Why this recipe does not apply to a model that comes as `source`; None where it does.

        Args:
            source: what it comes as.
            train: whether it brings samples to train on; None where that is not known: a module does, a file does not.
        """
        kind: StateKind = source
        trains = source != "brought" if train is None else train
        for spec in self.steps:
            signature = SIGNATURES[spec.step]
            if kind not in signature.consumes:
                return f"not applicable: '{spec.step}' needs the module, and this model came as ONNX"
            if "train" in signature.needs and not trains:
                return f"not applicable: '{spec.step}' learns from samples, and this model came without x_train"
            kind = signature.gives(kind)
        return None

    @property
    def needs(self) -> frozenset[Need]:
        """All that any of the steps needs with its settings."""
        return frozenset().union(*(SIGNATURES[spec.step].needed(spec.settings()) for spec in self.steps))

    @property
    def digest(self) -> str:
        """The sha256 of the steps with their whole settings; name and title don't count."""
        return digest_of([{"step": s.step, "config": s.settings().model_dump(mode="json")} for s in self.steps])


def _wrong_order(step: str, kind: StateKind, giver: str, quantizer: str) -> str:
    """Why a step cannot take what the one before it gives, and where it belongs."""
    consumes = SIGNATURES[step].consumes
    if kind == "packed":
        return f"'{step}' comes after {giver}, which lays out the file for good: put {giver} last"
    if kind == "torch":
        return f"'{step}' takes {_named('onnx')}, but {giver} gives {_named(kind)}: put 'export' before it"
    if "torch" in consumes and (kind == "onnx" or "onnx" not in consumes):
        return f"'{step}' takes {_named('torch')}, but {giver} gives {_named(kind)}: move it before 'export'"
    return f"'{step}' takes weights in fp32, but {giver} gives {_named(kind)}: move it before {quantizer}"


def _named(kind: StateKind) -> str:
    names = {"onnx": "an ONNX file", "quantized": "an ONNX file with weights in fewer bits"}
    return names.get(kind, "a torch module")


def _nearest(word: str, known: Iterable[str]) -> str:
    """What to use instead of a word that nothing knows: the nearest, or all there are."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(known)}"


def recipe_from(value: Any) -> Recipe:
    """The recipe that a plain table holds.

    Raises:
        RecipeError: unknown step, wrong order or wrong settings, with the reason.
    """
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        name = value.get("name", "?") if isinstance(value, dict) else "?"
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"recipe '{name}'{f', {where}' if where else ''}: {reason}") from None


def parse_recipe(text: str) -> Recipe:
    """The recipe that a TOML text holds; raises RecipeError."""
    try:
        return recipe_from(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"a recipe is no TOML ({error}): correct it") from None


def load_recipe(path: Path) -> Recipe:
    """The recipe of a file; raises RecipeError."""
    return parse_recipe(path.read_text(encoding="utf-8"))


def shipped_recipes() -> dict[str, Recipe]:
    """The recipes that come with this package, by name."""
    folder = resources.files("edgefleet_compression") / "recipes" / "shipped"
    texts = [entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")]
    return {recipe.name: recipe for recipe in sorted(map(parse_recipe, texts), key=lambda r: r.name)}


def build_order(recipes: Iterable[Recipe]) -> list[Recipe]:
    """The order that keeps parallel workers busy: training first, and of those with a shared prefix one.

    The others of that prefix come last: by then its steps are in the cache, and no worker waits for them.
    """
    leaders: list[Recipe] = []
    followers: list[Recipe] = []
    seen: set[str] = set()
    for recipe in sorted(recipes, key=lambda r: (-_epochs(r), r.name)):
        first = digest_of(recipe.steps[0].model_dump(mode="json"))
        trained = _epochs(recipe) > 0
        (followers if trained and first in seen else leaders).append(recipe)
        seen.add(first)
    return leaders + followers


def _epochs(recipe: Recipe) -> int:
    return sum(getattr(spec.settings(), "epochs", 0) for spec in recipe.steps)
