"""The options that say what a rollout is: `plan` and `start` take the same ones."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from edgefleet_contract.faults import first_fault
from edgefleet_contract.rollouts import Gate, RolloutSpec, Timers

Ref = Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="as in fashion@1")]
Segment = Annotated[str | None, typer.Option("--segment", help="to the devices of this segment")]
Selector = Annotated[str | None, typer.Option("--selector", help="to the devices that match, as in 'region=eu'")]
Everyone = Annotated[bool, typer.Option("--all", help="to every device")]
Waves = Annotated[
    str | None, typer.Option("--waves", help="share of the devices reached after each wave; default: 1%,10%,50%,100%")
]
Concurrency = Annotated[int | None, typer.Option("--concurrency", min=1, help="so many switch at once at first")]
OnFailure = Annotated[
    Literal["pause", "roll_back"] | None, typer.Option("--on-failure", help="what happens when a wave fails")
]
GateOption = Annotated[
    list[str] | None,
    typer.Option("--gate", metavar="KEY=VALUE", help=f"again for more: {', '.join(Gate.model_fields)}"),
]
TimerOption = Annotated[
    list[str] | None,
    typer.Option("--timer", metavar="KEY=SECONDS", help=f"again for more: {', '.join(Timers.model_fields)}"),
]


def make_spec(
    ref: str,
    to: tuple[str | None, str | None, bool],
    waves: str | None,
    gate: Sequence[str] | None,
    timers: Sequence[str] | None,
    **others: Any,
) -> RolloutSpec:
    """What the options ask for; what was not given is not set, and the controller's default holds.

    Args:
        ref: `fashion@1`.
        to: segment, selector, everyone; exactly one is given.
        waves: `1%,10%,100%` or `0.01,0.1,1`.
        gate: `soak_s=60` and the like.
        timers: `trial_s=5` and the like.
        others: further fields, None where not given.

    Raises:
        typer.BadParameter: something cannot be meant so.
    """
    name, _, version = ref.partition("@")
    segment, selector, everyone = to
    if (segment is not None) + (selector is not None) + everyone != 1:
        raise typer.BadParameter("say to whom: --segment NAME, --selector SELECTOR or --all, one of them")
    if not version.isdecimal():
        raise typer.BadParameter(f"'{ref}' is no model: write NAME@VERSION, as in fashion@1")
    asked = {
        **{"model": name, "version": int(version), "segment": segment, "selector": selector},
        **{"waves": _shares(waves), "gate": _settings(gate), "timers": _settings(timers), **others},
    }
    try:
        return RolloutSpec.model_validate({k: v for k, v in asked.items() if v is not None})
    except ValidationError as error:
        raise typer.BadParameter(first_fault(error.errors())) from None


def _shares(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        parts = [part.strip() for part in text.split(",")]
        return [float(p.removesuffix("%")) / 100 if p.endswith("%") else float(p) for p in parts]
    except ValueError:
        raise typer.BadParameter(f"--waves '{text}': write shares, as in 1%,10%,100%") from None


def _settings(given: Sequence[str] | None) -> dict[str, str] | None:
    pairs = [entry.partition("=") for entry in given or ()]
    if wrong := next((name for name, equals, value in pairs if not (equals and value)), None):
        raise typer.BadParameter(f"'{wrong}' has no value: write KEY=VALUE, as in soak_s=60")
    return {name: value for name, _, value in pairs} or None
