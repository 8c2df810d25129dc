"""docs/models.md has every field of a card with its default, and every built-in architecture with its arguments."""

import inspect
import json
import re
import tomllib

import pytest
from pydantic import BaseModel
from tests.pages import DOCS, defaults_of, section, table

from edgefleet_contract.card import ArchitectureRef, FileRef, Golden, Input, ModelCard, parse_card
from edgefleet_contract.card_answers import CardAnswers, CardBoxes, CardColumns, CardTokens
from edgefleet_contract.card_pictures import CardPostprocessing, CardPreprocessing
from edgefleet_contract.card_states import CardStatePair, CardStates
from edgefleet_profiles.profile import Constraints

PAGE = (DOCS / "models.md").read_text()
EXAMPLES = "\n## Each task, by example\n"
TABLES: dict[str, type[BaseModel]] = {
    "## The card": ModelCard,
    "### A file": FileRef,
    "### `[input]`": Input,
    "### `[answers]`": CardAnswers,
    "### `[answers.boxes]`": CardBoxes,
    "### Columns": CardColumns,
    "### `[answers.tokens]`": CardTokens,
    "### `[preprocessing]`": CardPreprocessing,
    "### `[postprocessing]`": CardPostprocessing,
    "### `[golden]`": Golden,
    "### `[[state]]`": CardStatePair,
    "### `[states]`": CardStates,
    "### `[architecture]`": ArchitectureRef,
    "### `[[constraints]]`": Constraints,
}


@pytest.mark.parametrize("heading", TABLES)
def test_every_field_is_on_the_page_with_its_default_and_no_other(heading: str) -> None:
    rows = table(PAGE, heading, "field")
    assert {row["field"]: row["default"] for row in rows} == defaults_of(TABLES[heading])
    assert all(row["type"] and row["meaning"] for row in rows)


def test_the_page_has_a_table_for_every_part_of_a_card() -> None:
    assert set(re.findall(r"^##+ .+$", PAGE.partition(EXAMPLES)[0], flags=re.MULTILINE)) == set(TABLES)


def test_the_card_on_the_page_is_one() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.partition(EXAMPLES)[0], flags=re.MULTILINE | re.DOTALL)
    card = parse_card(text)
    assert (card.name, len(card.constraints)) == ("kiosk", 2)
    assert set(tomllib.loads(text)) <= set(ModelCard.model_fields)


def test_every_preference_is_named() -> None:
    said = section(PAGE, "### `[[constraints]]`")
    (choices,) = (list(part.__args__) for part in [Constraints.model_fields["prefer"].annotation])  # type: ignore[union-attr]
    assert [name for name in choices if f"`{name}`" not in said] == []


@pytest.mark.torch
def test_every_architecture_is_on_the_page_with_its_arguments_and_their_defaults() -> None:
    from edgefleet_compression.networks.architectures import REGISTRY

    rows = table(PAGE, "### `[architecture]`", "architecture")
    written = {(row["architecture"], row["argument"], row["default"]) for row in rows}
    known = {(name, "", "") for name in REGISTRY}
    for name, build in REGISTRY.items():
        parameters = list(inspect.signature(build).parameters.values())
        known |= {(name, p.name, json.dumps(p.default)) for p in parameters if p.default is not p.empty}
    assert written == known
