"""The documents say what the code does."""

import re
import subprocess
import types
from importlib.machinery import SourceFileLoader
from importlib.metadata import version
from pathlib import Path

from edgefleet_controller.api.app import openapi_text
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.parts import GENERIC, is_generic

ROOT = Path(__file__).parents[1]


def test_the_checked_in_openapi_is_that_of_the_application() -> None:
    checked_in = (ROOT / "docs" / "openapi.json").read_text()
    renew = "python -m edgefleet_controller.api.app > docs/openapi.json"
    assert checked_in == openapi_text(), f"the API has changed: look at the difference, then {renew}"


def test_the_agents_page_lists_every_generic_class() -> None:
    page = (ROOT / "docs" / "agent.md").read_text()
    listed = set(re.findall(rf"^\| `({GENERIC}[a-z0-9-]+)` \|", page, flags=re.MULTILINE))
    assert listed == {name for name in load_catalogue().hardware if is_generic(name)}


def pages() -> list[Path]:
    """Every page that is tracked."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_looked_at() -> None:
    names = {str(page.relative_to(ROOT)) for page in pages()}
    assert names >= {"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/rollouts.md", "examples/fashion/README.md"}


def test_the_pages_link_to_files_and_headings_that_are_there() -> None:
    for page in pages():
        for target, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
            linked = page.parent / target if target else page
            assert linked.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in headings(linked), f"{page.name} links to #{anchor} of {linked.name}"


def test_every_file_that_the_architecture_page_names_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    known = {path.name for path in ROOT.glob("*/edgefleet_*/**/*.py")} | {"model.toml"}
    named = set(re.findall(r"\b([a-z_0-9]+\.(?:py|toml))\b", page))
    assert named <= known, f"not there: {sorted(named - known)}"


def test_every_item_of_the_changelog_is_one_line() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    released = lines[next(n for n, line in enumerate(lines) if line.startswith("## ")) :]
    assert any(line.startswith("- ") for line in released)
    allowed = re.compile(r"- .{1,118}|## \[.+\].*|### (Added|Changed|Fixed|Removed|Security)|[A-Z][a-z ]+:|")
    assert [line for line in released if not allowed.fullmatch(line)] == []


def test_before_a_commit_the_same_checks_run_as_in_ci() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert "entry: scripts/check\n" in text
    assert "scripts/check" in (ROOT / ".ci" / "run").read_text()


def test_the_architecture_page_names_every_module_as_it_names_itself() -> None:
    loader = SourceFileLoader("modules", str(ROOT / "scripts" / "modules"))
    modules = types.ModuleType(loader.name)
    modules.__file__ = loader.path
    exec(loader.get_code(loader.name), vars(modules))
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert page == modules.refreshed(page), "write it again: scripts/modules"


def test_the_newest_version_of_the_changelog_is_this_one() -> None:
    newest = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert newest[0] == version("edgefleet")
