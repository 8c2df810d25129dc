"""docs/catalogue.md has every field of an entry with its default, and examples that are entries."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from tests.pages import DOCS, defaults_of, section, table

from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.device_class import DOTPROD_FLAGS, VNNI_FLAGS
from edgefleet_profiles.parts import Entry, Hardware, Link, Region, Window, is_generic

PAGE = (DOCS / "catalogue.md").read_text()
COMMON = set(Entry.model_fields)
PARTS: dict[str, type[BaseModel]] = {"Hardware": Hardware, "Link": Link, "Region": Region}
TABLES = {**{f"## {title}": kind for title, kind in PARTS.items()}, "### Window": Window}


@pytest.mark.parametrize("heading", TABLES)
def test_every_field_is_on_the_page_with_its_default_and_no_other(heading: str) -> None:
    rows = table(PAGE, heading, "field")
    wanted = {name: default for name, default in defaults_of(TABLES[heading]).items() if name not in COMMON}
    assert {row["field"]: row["default"] for row in rows} == wanted
    assert all(row["type"] and row["meaning"] for row in rows)


def test_what_every_entry_has_is_on_the_page() -> None:
    rows = table(PAGE, "## What every entry has", "field")
    assert {row["field"] for row in rows} == COMMON


@pytest.mark.parametrize("title", PARTS)
def test_the_entry_on_the_page_is_one_and_replaces_the_shipped_one(title: str, tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", section(PAGE, f"## {title}"), flags=re.MULTILINE | re.DOTALL)
    part = title.lower()
    shipped = getattr(load_catalogue(), part)
    name = next(name for name in sorted(shipped) if not is_generic(name))  # those have names by their flags
    (tmp_path / part).mkdir()
    (tmp_path / part / f"{name}.toml").write_text(text)
    found = getattr(load_catalogue(tmp_path), part)
    assert found[name].title == re.search(r'title = "(.+)"', text)[1]  # type: ignore[index]
    assert {n: one for n, one in found.items() if n != name} == {n: one for n, one in shipped.items() if n != name}


def test_every_flag_that_decides_is_named() -> None:
    said = section(PAGE, "## Hardware")
    assert [flag for flag in {"avx2", *VNNI_FLAGS, *DOTPROD_FLAGS} if f"`{flag}`" not in said] == []
