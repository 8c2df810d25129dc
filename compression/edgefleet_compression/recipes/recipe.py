"""A recipe: an ordered list of steps, checked for order and settings before anything runs."""

from collections.abc import Iterable
from importlib import resources
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgefleet_compression.errors import RecipeError
from edgefleet_compression.kinds import BROUGHT, Need, SourceKind, StateKind
from edgefleet_compression.models.ways import ANY_WAY, Ways
from edgefleet_compression.registry import Plugin, registry
from edgefleet_compression.search_roles import StepSpec
from edgefleet_compression.step import Step
from edgefleet_contract.recipes import StepTable
from edgefleet_profiles.errors import NotToml
from edgefleet_profiles.faults import place_of, words_of
from edgefleet_profiles.names import Name
from edgefleet_profiles.plain_text import odd_character, shows
from edgefleet_profiles.spelling import nearest
from edgefleet_profiles.toml import parse_toml
from edgefleet_protocol.canonical import digest_of


def _known(spec: StepSpec) -> StepSpec:
    """See that there is such a step, and that the settings fit it."""
    try:
        registry().settings(spec)
    except RecipeError as error:
        raise ValueError(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = place_of(first)
        if first["type"] == "extra_forbidden":
            reason = f"there is no such setting: {nearest(where, _step(spec).config.model_fields)}"
        else:
            reason = words_of(first)
        raise ValueError(f"'{spec.step}', setting '{where}': {reason}") from None
    return spec


KnownStep = Annotated[StepSpec, AfterValidator(_known)]


class Recipe(BaseModel):
    """An ordered list of steps from the source model to an ONNX file; some need its torch module, see `refusal`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: str
    steps: tuple[KnownStep, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_step_takes_what_the_one_before_gives(self) -> "Recipe":
        kind: StateKind = "brought" if self.is_for_files else "torch"
        giver = quantizer = "the source model"
        for spec in self.steps:
            step = _step(spec)
            if kind not in step.consumes:
                raise ValueError(_wrong_order(step, kind, giver, quantizer))
            given, kind, giver = kind, step.gives(kind), f"'{step.name}'"
            quantizer = giver if (given, kind) == ("onnx", "quantized") else quantizer
        if kind in ("torch", "brought"):
            raise ValueError(
                f"it ends in {_named(kind)}, but devices run ONNX: end it with 'export' or a step after it"
            )
        return self

    @model_validator(mode="after")
    def _weights_are_trained_for_the_grid_they_get(self) -> "Recipe":
        trained: tuple[str, bool] | None = None
        for spec in self.steps:
            step, per_channel = _step(spec), getattr(registry().settings(spec), "per_channel", None)
            if "scheme" not in step.needs or per_channel is None:
                continue
            if step.trains:
                trained = step.name, per_channel
            elif trained is not None and trained[1] != per_channel:
                raise ValueError(
                    f"'{trained[0]}' trains with per_channel = {str(trained[1]).lower()}, but '{step.name}' has "
                    f"{str(per_channel).lower()}: use the same for both"
                )
        return self

    def refusal(self, source: SourceKind, train: bool | None = None, ways: Ways = ANY_WAY) -> str | None:
        """Why this recipe does not apply to a model that comes as `source`; None if it does.

        Args:
            source: what it comes as.
            train: whether it brings samples to train on; None if unknown: a module does, a file does not.
            ways: what may be made of it, as far as that is known.
        """
        kind: StateKind = source
        trains = source != "brought" if train is None else train
        for spec in self.steps:
            step = _step(spec)
            if kind not in step.consumes:
                if step.consumes == BROUGHT:
                    return f"'{step.name}' passes on an ONNX file that was brought, but this model came as a module"
                return f"'{step.name}' needs a torch module, but this model came as ONNX"
            if "train" in step.needs and not trains:
                return f"'{step.name}' learns from samples, but this model came without x_train"
            if (reason := _no_way(step, kind, ways)) is not None:
                return reason
            ways = ANY_WAY if step.produces == "torch" else ways  # a network of ours: everything can be made of it
            kind = step.gives(kind)
        return None

    @property
    def is_for_files(self) -> bool:
        """Whether it takes an ONNX file that was brought, and never a module."""
        return _step(self.steps[0]).consumes == BROUGHT

    @property
    def needs(self) -> frozenset[Need]:
        """What the steps need, with their settings."""
        return frozenset().union(*(_step(spec).needed(registry().settings(spec)) for spec in self.steps))

    @property
    def plugins(self) -> frozenset[Plugin]:
        """The plug-ins that bring any of the steps."""
        found = (registry().named(spec.step).plugin for spec in self.steps)
        return frozenset(plugin for plugin in found if plugin is not None)

    def whole_steps(self) -> tuple[StepTable, ...]:
        """The steps with their whole settings as plain values, defaults filled in."""
        return tuple(StepTable(step=s.step, config=registry().settings(s).model_dump(mode="json")) for s in self.steps)

    @property
    def digest(self) -> str:
        """The sha256 of the steps with their whole settings; name and title don't count."""
        return digest_of([step.model_dump(mode="json") for step in self.whole_steps()])


def _step(spec: StepSpec) -> Step:
    return registry().named(spec.step).step


def _no_way(step: Step, kind: StateKind, ways: Ways) -> str | None:
    """Why nothing comes of a step that is given a file as it was brought, or what `export` made of it."""
    if kind in ("onnx", "quantized"):
        return ways.weights
    return ways.training if kind == "brought" and step.produces == "torch" else None


def _wrong_order(declared: Step, kind: StateKind, giver: str, quantizer: str) -> str:
    """Why a step cannot take what the one before it gives, and where it belongs."""
    step, consumes = declared.name, declared.consumes
    if consumes == BROUGHT:
        return f"'{step}' takes a file as it was brought, but {giver} gives {_named(kind)}: use '{step}' alone"
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


def recipe_from(value: Any) -> Recipe:
    """The recipe in a plain table.

    Raises:
        RecipeError: unknown step, wrong order or wrong settings, with the reason.
    """
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        name = value.get("name", "?") if isinstance(value, dict) else "?"
        where = place_of(first)
        raise RecipeError(f"recipe '{name}'{f', {where}' if where else ''}: {words_of(first)}") from None


def new_recipe(value: Any) -> Recipe:
    """The recipe in a table that somebody has just written; stores hold recipes with whatever title.

    Raises:
        RecipeError: as in `recipe_from`, or its title is blank or not plain.
    """
    recipe = recipe_from(value)
    if not shows(recipe.title):
        raise RecipeError(f"recipe '{recipe.name}', title: it is blank: say in a few words what the recipe does")
    if odd := odd_character(recipe.title):
        raise RecipeError(f"recipe '{recipe.name}', title: {odd}: write one line of plain text")
    return recipe


def parse_recipe(text: str) -> Recipe:
    """The recipe in a TOML text; raises RecipeError."""
    try:
        return new_recipe(parse_toml(text))
    except NotToml as error:
        raise RecipeError(f"the recipe is not valid TOML ({error}): correct it") from None


def shipped_recipes() -> dict[str, Recipe]:
    """The recipes that come with this package, by name."""
    folder = resources.files("edgefleet_compression") / "recipes" / "shipped"
    texts = [entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")]
    return {recipe.name: recipe for recipe in sorted(map(parse_recipe, texts), key=lambda r: r.name)}


def build_order(recipes: Iterable[Recipe]) -> list[Recipe]:
    """The order that keeps parallel workers busy: recipes that train first, but only one of each shared prefix.

    The others come last: by then that prefix is in the cache, and no worker waits for it.
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
    return sum(getattr(registry().settings(spec), "epochs", 0) for spec in recipe.steps)
