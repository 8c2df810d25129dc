"""Requests for builds, by recipes or by a search."""

from typing import Annotated, Any

from pydantic import Field

from edgefleet_contract.base import ModelRef, ProfileName, Request
from edgefleet_profiles.device_class import InstructionSet

WEEK_MIN = 7 * 24 * 60
MAX_RECIPES = 100
Bound = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class NewConstraints(Request):
    """Upper bounds for a variant; see `edgefleet compress --constraint`."""

    max_drop: Bound | None = None
    latency_ratio: Bound | None = None
    encoding_bytes: Bound | None = None
    peak_rss_mb: Bound | None = None


class NewSearch(Request):
    """A search for variants, `budget_min` minutes long.

    `classes` are the device classes to search for; by default those of the profiles, else those of the catalogue.
    """

    budget_min: Annotated[float, Field(gt=0, le=WEEK_MIN, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    classes: Annotated[list[InstructionSet], Field(min_length=1)] | None = None
    constraints: NewConstraints = Field(default_factory=NewConstraints)


class NewBuild(Request):
    """Compress a model for profiles, by recipes or by a search.

    `profiles` default to those of all known devices, `recipes` to all shipped ones. A recipe is the name of a shipped
    one, or a table with name, title and steps.
    """

    model: ModelRef
    profiles: Annotated[list[ProfileName], Field(min_length=1)] | None = None
    # Tables are validated where the steps are known, for better messages than this shape could give.
    recipes: Annotated[list[str | dict[str, Any]], Field(min_length=1, max_length=MAX_RECIPES)] | None = None
    search: NewSearch | None = None
