"""Which variables that begin with EDGEFLEET_ are read, and what is said of others."""

import re
from pathlib import Path

import pytest

from edgefleet_agent.settings import AgentSettings
from edgefleet_process.environment import AGENT, KNOWN, PLUGINS, PREFIX, unread

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(p for p in (ROOT / "deploy").rglob("*") if p.is_file())]
SOURCES = [path for part in ("operator", "controller", "agent", "compression") for path in (ROOT / part).rglob("*.py")]


def test_the_agents_are_its_settings_in_capitals_and_the_file_of_these() -> None:
    assert set(AGENT) == {name.upper() for name in AgentSettings.model_fields} | {"CONFIG"}


def test_every_variable_that_a_page_a_unit_or_the_code_names_is_read_and_the_other_way_round() -> None:
    named = {name for path in (*TEXTS, *SOURCES) for name in re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", path.read_text())}
    assert {name for name in named if not name.startswith(PLUGINS)} - {f"{PREFIX}NAME"} == KNOWN


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("EDGEFLEET_TOKN", "EDGEFLEET_TOKN (did you mean EDGEFLEET_TOKEN?)"),
        ("EDGEFLEET_HEARTBEAT", "EDGEFLEET_HEARTBEAT (did you mean EDGEFLEET_HEARTBEAT_S?)"),
        ("EDGEFLEET_API_URL", "EDGEFLEET_API_URL (did you mean EDGEFLEET_API?)"),
        ("edgefleet_broker", "edgefleet_broker (did you mean EDGEFLEET_BROKER?)"),
        ("EDGEFLEET_PASSWORD", "EDGEFLEET_PASSWORD (did you mean EDGEFLEET_PASSWORD_FILE?)"),
        ("EDGEFLEET_QQQ", "EDGEFLEET_QQQ"),
        ("EDGEFLEET_", "EDGEFLEET_"),
        ("EDGEFLEET_\x1b[31m\udcff", r"EDGEFLEET_\x1b[31m\udcff"),
    ],
)
def test_what_nothing_reads_is_named_with_the_nearest_that_is_and_without_its_value(name: str, told: str) -> None:
    said = unread({name: "geheim", "HOME": "/", "EDGEFLEET_API": "geheim"})
    assert said == f"nothing reads {told}: correct or unset it; plug-ins use EDGEFLEET_X_NAME"


def test_several_take_one_line() -> None:
    said = unread({"EDGEFLEET_TOKN": "", "EDGEFLEET_QQQ": ""})
    told = "EDGEFLEET_QQQ, EDGEFLEET_TOKN (did you mean EDGEFLEET_TOKEN?)"
    assert said == f"nothing reads {told}: correct or unset them; plug-ins use EDGEFLEET_X_NAME"


def test_what_is_read_and_what_plug_ins_or_others_use_is_left_alone() -> None:
    assert (
        unread(dict.fromkeys((*KNOWN, "EDGEFLEET_X_STORE", "EDGEFLEETS", "PATH", "_EDGEFLEET_COMPLETE"), "x")) is None
    )
