"""Recipes as tables: what a file of one's own holds, and what a search and a lineage show."""

from pydantic import Field, JsonValue

from edgefleet_contract.base import Shape


class StepTable(Shape):
    """A step by name, with its settings."""

    step: str
    config: dict[str, JsonValue] = Field(default_factory=dict)


class RecipeTable(Shape):
    """An ordered list of steps with a name and a title; the controller knows which steps and settings there are."""

    name: str
    title: str
    steps: tuple[StepTable, ...]
