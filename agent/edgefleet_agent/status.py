"""`edgefleet-agent status`: the state of a device, from its agent or, if none runs, from its files."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgefleet_agent.errors import SettingsError
from edgefleet_agent.journal import Journal
from edgefleet_agent.records import Records
from edgefleet_agent.telling import Transition
from edgefleet_profiles.parts import is_generic
from edgefleet_protocol.messages import ReportedModel
from edgefleet_protocol.ran_on import RanOn

ASK_S = 3.0


def show_status(folder: Path, last: int, as_json: bool) -> int:
    """Print the state of a device and its last transitions.

    Args:
        folder: the agent's state folder.
        last: how many transitions.
        as_json: print everything, for programs.

    Returns:
        0 with an agent running, 1 without.

    Raises:
        SettingsError: the folder is not an agent's.
    """
    if not (folder / "identity.json").exists():
        raise SettingsError(f"{folder} is not the state folder of an agent: use the --state of `run`")
    report = _ask(folder)
    running = report is not None
    models = report["models"] if report is not None else read_models(folder)
    transitions = _last(folder, last)
    if as_json:
        told = {"running": running, "transitions": [one.model_dump(exclude_none=True) for one in transitions]}
        print(json.dumps((report or {"models": models}) | told, indent=2))
    else:
        lines = [_headline(report), *(_line(name, model) for name, model in models.items()), *told_slots(models)]
        if transitions:
            lines += ["", "last transitions:", *map(_dated, transitions)]
        print("\n".join(lines))
    return 0 if running else 1


def _ask(folder: Path) -> dict[str, Any] | None:
    try:
        url = (folder / "endpoint").read_text()
        with urllib.request.urlopen(f"{url}/edgefleet/v1/status", timeout=ASK_S) as reply:  # noqa: S310 - our own file
            told: dict[str, Any] = json.load(reply)
    except (OSError, ValueError):
        return None
    # Another program may have the port by now; only this folder's agent knows its incarnation.
    mine = json.loads((folder / "identity.json").read_bytes())["incarnation"]
    return told if told.get("incarnation") == mine else None


def read_models(folder: Path) -> dict[str, Any]:
    """The models of a state folder, as they were last saved.

    Raises:
        SettingsError: its state cannot be read.
    """
    try:
        records = Records.model_validate_json((folder / "state.json").read_bytes()).models
    except FileNotFoundError:
        return {}
    except ValidationError:
        raise SettingsError(
            f"{folder / 'state.json'} cannot be read; the agent sets it aside at its next start"
        ) from None
    return {
        name: ReportedModel(
            generation=record.desired.generation,
            slots=tuple(record.slots.values()),
            attempt=record.attempt,
            lost=record.lost,
        ).model_dump(mode="json", exclude_none=True)
        for name, record in records.items()
    }


def _last(folder: Path, count: int) -> list[Transition]:
    try:
        return Journal(folder).last(count)
    except OSError as error:
        raise SettingsError(
            f"{error.filename} cannot be read ({error.strerror}): run this as the agent's user"
        ) from None


def told_slots(models: Mapping[str, Any]) -> list[str]:
    """What each installed variant runs on, of models as they are reported."""
    return [
        f"{name}: {slot['variant'][:12]} runs on {RanOn.model_validate(ran_on).told}"
        for name, model in models.items()
        for slot in model.get("slots", ())
        if (ran_on := slot.get("ran_on"))
    ]


def _dated(told: Transition) -> str:
    when = datetime.fromtimestamp(told.ms / 1000).astimezone()
    return f"{when:%Y-%m-%d %H:%M:%S} {told}"


def _headline(report: dict[str, Any] | None) -> str:
    if report is None:
        return "no agent runs in this folder; its last state:"
    facts = report["facts"]
    simulated = " (simulated)" if facts["simulated"] else ""
    generic = " (generic class)" if is_generic(facts["hardware"]) else ""
    where = f"{facts['region']}/{facts['hardware']}/{facts['link']}{simulated}{generic}"
    broker = f"connected to {report['broker']}" if report.get("broker") else "not connected to a broker"
    spooled = f"{report['spooled_windows']} windows spooled"
    return f"{where}, boot {report['boot']}, {report.get('endpoint')}, {broker}, {spooled}"


def _line(name: str, model: dict[str, Any]) -> str:
    answering, attempt = model.get("answering"), model.get("attempt") or {}
    answers = (
        f"version {answering['model_version']} ({answering['variant'][:12]}) answers" if answering else "not ready"
    )
    reason = f": {attempt['reason']}, {attempt.get('detail', '')}" if attempt.get("reason") else ""
    lost = model.get("lost")
    answers += f", {lost['variant'][:12]} was lost ({lost['detail']})" if lost else ""
    return f"{name}: {answers}; generation {model['generation']} {attempt.get('phase', 'unknown')}{reason}"
