"""Recipes as tables: the content of a recipe file, and what a search and a lineage show."""

from pydantic import Field, JsonValue

from edgefleet_contract.base import Shape


class StepTable(Shape):
    """A step by name, with its settings."""

    step: str
    config: dict[str, JsonValue] = Field(default_factory=dict)


class RecipeTable(Shape):
    """An ordered list of steps with a name and a title; the controller checks the steps and their settings."""

    name: str
    title: str
    steps: tuple[StepTable, ...]
