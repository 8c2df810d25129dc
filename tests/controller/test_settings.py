"""What a controller is told to do can be done, or it does not start."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from edgefleet_controller.commands import serve
from edgefleet_controller.errors import Invalid
from edgefleet_controller.housekeeping import Retention, cutoffs
from edgefleet_controller.settings import BOUNDS, ControllerSettings

WRONG = [
    ("--rollups-keep", "inf"),
    ("--telemetry-keep", "1e308"),
    ("--build-timeout", "1e999"),
    ("--build-memory", "99999999999999999999"),
    ("--conflict-window", "inf"),
    ("--tick", "nan"),
    ("--rollups-keep", "nan"),
]


@pytest.mark.parametrize(("option", "value"), WRONG)
def test_a_number_that_cannot_be_obeyed_is_refused(
    option: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr("edgefleet_controller.serve.serve", lambda *given: started.append(given))
    app = typer.Typer()
    app.command()(serve)
    refused = CliRunner().invoke(app, ["--state", str(tmp_path), option, value], env={"COLUMNS": "200"})
    assert refused.exit_code == 2 and not started
    assert f"Invalid value for '{option}'" in refused.output


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0])
def test_settings_themselves_are_bounded(name: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=f"{name} cannot be {value}: give a number from .* to "):
        ControllerSettings(**{"state": tmp_path, name: value})


def test_the_longest_retention_can_be_reckoned_with() -> None:
    longest = Retention(windows_h=BOUNDS["telemetry_keep_h"].most, rollups_days=BOUNDS["rollups_keep_days"].most)
    lines = cutoffs(longest, 1_800_000_000_000)
    assert -(2**62) < lines.rollups_ms < lines.windows_ms < 1_800_000_000_000


@pytest.mark.parametrize(
    "given",
    [
        {"port": 70_000},
        {"broker_port": -1},
        {"allow_hosts": ("*",)},
        {"allow_hosts": ("http://x",)},
        {"allow_hosts": ("x:80",)},
        {"allow_hosts": ("",)},
        {"broker_url": " "},
    ],
)
def test_what_could_not_be_meant_so_is_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        ControllerSettings(state=tmp_path, **given)
