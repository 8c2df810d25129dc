"""The pages show commands that `scripts/build` takes, and files that it makes."""

import re
import shlex
from pathlib import Path

import pytest
from distribution.__main__ import command_line
from distribution.bundle import INSTRUCTION
from distribution.target import ARCHITECTURES, PYTHONS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "agent.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_taken(page: Path) -> None:
    shown = re.findall(r"scripts/build\b([^`\n]*)", page.read_text())
    taken = [command_line().parse_args(shlex.split(words, comments=True)) for words in shown]
    assert any(options.bundle for options in taken) and not all(options.bundle for options in taken)
    assert {options.bundle for options in taken if options.bundle} <= set(ARCHITECTURES)


def test_the_agents_page_names_the_architectures_and_the_pythons() -> None:
    page = (ROOT / "docs" / "agent.md").read_text()
    assert all(f"--bundle {arch}" in page for arch in ARCHITECTURES)
    assert f"wheels for Python {' and '.join(PYTHONS)}" in page


def test_the_bundles_instruction_and_the_page_install_alike() -> None:
    page = (ROOT / "docs" / "agent.md").read_text()
    options = "/opt/edgefleet/bin/pip install --no-index --find-links "
    assert options in page and options in INSTRUCTION.read_text()
