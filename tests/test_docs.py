"""The documents say what the code does."""

import re
import subprocess
import types
from importlib.machinery import SourceFileLoader
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest

from edgefleet_controller.api.app import openapi_text
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.parts import GENERIC, is_generic
from edgefleet_protocol import messages, topics
from edgefleet_protocol.counters import Moments, NamedMoments
from edgefleet_protocol.manifest import Manifest
from edgefleet_protocol.phases import Phase, ReasonCode

ROOT = Path(__file__).parents[1]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()

MESSAGES = [
    kind
    for kind in vars(messages).values()
    if isinstance(kind, type)
    and issubclass(kind, messages.Message | messages.Part)
    and kind not in (messages.Message, messages.Part)
]


def table_under(heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    section = re.split(r"^#+ ", PROTOCOL.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"^\| `([a-z0-9_]+)` \|", section, flags=re.MULTILINE))


def phases() -> set[str]:
    return {name for kind in get_args(Phase) for name in (get_args(kind) or (kind,))}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_field_of_every_message_is_on_the_page_and_no_other(kind) -> None:
    assert table_under(f"### {kind.__name__}") == set(kind.model_fields)


@pytest.mark.parametrize("kind", [Moments, NamedMoments])
def test_every_field_of_moments_is_on_the_page_and_no_other(kind: type) -> None:
    assert table_under(f"### {kind.__name__}") == set(kind.__annotations__)


def test_the_manifests_fields_are_on_the_page() -> None:
    assert table_under("## The manifest") == set(Manifest.model_fields)


def test_every_phase_and_every_reason_code_is_on_the_page() -> None:
    assert table_under("## Phases of an execution") == phases()
    assert table_under("## Reason codes") == set(get_args(ReasonCode))


def test_every_topic_is_on_the_page() -> None:
    shard = topics.shard("d")
    built = {
        topics.desired("d"): "down/{device}/desired",
        topics.acked("d"): "down/{device}/acked",
        topics.HELLO: "down/all/hello",
        topics.blob("f" * 64, "lte"): "blobs/{sha256}/{lane}",
        **{topics.up("d", kind): f"up/{{shard}}/{{device}}/{kind}" for kind in topics.UP_KINDS},
    }
    for topic, written in built.items():
        filled = written.format(device="d", shard=shard, sha256="f" * 64, lane="lte")
        assert topic == f"edgefleet/v1/{filled}"
        assert f"| `edgefleet/v1/{written}` |" in PROTOCOL


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
