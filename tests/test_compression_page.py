"""docs/compression.md has a section for every step, each with its five lines, and names every setting."""

import re
from pathlib import Path

import pytest

from edgefleet_compression.pricing.quantities import QUANTITIES
from edgefleet_compression.recipes.recipe import parse_recipe
from edgefleet_compression.registry import own_steps, registry
from edgefleet_compression.step import NotSearched
from edgefleet_compression.step_settings import Bitwidths, TrainConfig, WeightBits
from edgefleet_contract.card import DOORS
from edgefleet_profiles.profile import Constraints

PAGE = (Path(__file__).parents[1] / "docs" / "compression.md").read_text()
PLUGIN = Path(__file__).parent / "compression" / "plugin"
SECTIONS = dict(re.findall(r"^### `([a-z_0-9]+)`\n(.*?)(?=^##|\Z)", PAGE, flags=re.M | re.S))
LINES = ["Does", "Pays", "Costs", "Paper", "Measured"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.M | re.S)


def section(heading: str) -> str:
    return re.split(r"^##", PAGE.partition(f"{heading}\n")[2], maxsplit=1, flags=re.M)[0]


def test_every_step_has_its_section_and_nothing_else_has_one() -> None:
    assert set(SECTIONS) == {one.step.name for one in own_steps()}


@pytest.mark.parametrize("step", SECTIONS)
def test_a_step_is_told_in_five_lines(step: str) -> None:
    assert re.findall(r"^- \*\*([A-Z][a-z]+)\*\* \S", SECTIONS[step], flags=re.M) == LINES


@pytest.mark.parametrize("step", SECTIONS)
def test_a_paper_is_an_address_or_none(step: str) -> None:
    paper = SECTIONS[step].partition("- **Paper** ")[2].partition("- **Measured**")[0]
    assert "https://" in paper


@pytest.mark.parametrize("step", SECTIONS)
def test_every_setting_of_a_step_is_named(step: str) -> None:
    config = registry().named(step).step.config
    written = SECTIONS[step]
    if issubclass(config, TrainConfig):
        written += section("### Settings of steps that train")
    if issubclass(config, WeightBits | Bitwidths):
        written += section("### Settings of steps that give weights fewer bits")
    assert [name for name in config.model_fields if f"`{name}" not in written] == []


def test_the_recipe_on_the_page_is_one() -> None:
    recipe, _ = blocks("toml")
    assert parse_recipe(recipe).name == "student-w5"


def test_the_plugin_on_the_page_is_the_one_that_is_tested() -> None:
    assert blocks("python") == [(PLUGIN / "short_floats.py").read_text()]
    assert blocks("toml")[1] == (PLUGIN / "pyproject.toml").read_text()


def test_the_page_says_why_a_step_is_not_searched() -> None:
    told = dict(re.findall(r"^- `([a-z_0-9]+)`: (.*)\.$", section("## How a search spends its budget"), flags=re.M))
    steps = [one.step for one in own_steps()]
    assert told == {step.name: step.search.because for step in steps if isinstance(step.search, NotSearched)}


def test_every_constraint_is_named() -> None:
    pricing = section("## How a choice is priced and explained")
    asked = {*Constraints.model_fields, *(q.name for q in QUANTITIES if q.part == "constraints")}
    assert [name for name in asked if f"`{name}`" not in pricing] == []


def test_the_doors_that_a_card_knows_are_open_and_the_other_is_said_to_be_closed() -> None:
    doors = dict(re.findall(r"^\| ([ABC]) \| .* \| (.*) \|$", section("## The three doors"), flags=re.M))
    assert len(DOORS) == sum("not offered yet" not in what for what in doors.values())
