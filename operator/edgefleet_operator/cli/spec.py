"""The options that describe a rollout; `plan` and `start` take the same ones."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, TypedDict, TypeVar, get_origin

import typer
from pydantic import BaseModel, ValidationError

from edgefleet_contract.faults import first_fault
from edgefleet_contract.rollouts import Gate, RolloutSpec, Timers, fault_of

SegmentOption = Annotated[str | None, typer.Option("--segment", help="roll out to the devices of this segment")]
SelectorOption = Annotated[
    str | None, typer.Option("--selector", help="roll out to the devices that match, for example 'region=eu'")
]
Everyone = Annotated[bool, typer.Option("--all", help="roll out to every device")]
Waves = Annotated[
    str | None, typer.Option("--waves", help="share of the devices reached after each wave; default: 1%,10%,50%,100%")
]
StartShare = Annotated[
    str | None,
    typer.Option("--start-share", help="share of a wave that must have staged before the first switch; default: 90%"),
]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", min=1, help="how many devices switch at once at first")
]
AfterFailure = Literal["pause", "roll_back"]
OnFailure = Annotated[AfterFailure | None, typer.Option("--on-failure", help="what to do when a wave fails")]
AcceptDrop = Annotated[
    bool, typer.Option("--accept-drop", help="let a version through that answers val worse or otherwise than allowed")
]
AcceptSignature = Annotated[
    bool, typer.Option("--accept-signature", help="applications know what the version takes and gives otherwise")
]
GateOption = Annotated[
    list[str] | None,
    typer.Option("--gate", metavar="KEY=VALUE", help=f"repeat for more: {', '.join(Gate.model_fields)}"),
]
TimerOption = Annotated[
    list[str] | None,
    typer.Option("--timer", metavar="KEY=SECONDS", help=f"repeat for more: {', '.join(Timers.model_fields)}"),
]
AnyShape = TypeVar("AnyShape", bound=BaseModel)


class _Given(TypedDict, total=False):
    """The options that were given; the controller's defaults fill in the rest."""

    segment: str
    selector: str
    everyone: bool
    waves: tuple[float, ...]
    start_share: float
    gate: Gate
    timers: Timers
    concurrency: int
    on_failure: AfterFailure
    accept_drop: bool
    accept_signature: bool


def make_spec(
    ref: str,
    to: tuple[str | None, str | None, bool],
    waves: str | None,
    gate: Sequence[str] | None,
    timers: Sequence[str] | None,
    *,
    start_share: str | None = None,
    concurrency: int | None = None,
    on_failure: AfterFailure | None = None,
    accept_drop: bool = False,
    accept_signature: bool = False,
) -> RolloutSpec:
    """Make a rollout's spec from the options; the controller's defaults fill in what is not given.

    Args:
        ref: the model version, for example `fashion@1`.
        to: segment, selector, everyone; exactly one must be given.
        waves: for example `1%,10%,100%` or `0.01,0.1,1`.
        gate: for example `soak_s=60`.
        timers: for example `trial_s=5`.
        start_share: share of a wave that must have staged before the first switch, for example `80%` or `0.8`.
        concurrency: how many devices switch at once at first.
        on_failure: what to do when a wave fails.
        accept_drop: let a version through that answers worse or otherwise.
        accept_signature: let one through that takes or gives something else.

    Raises:
        typer.BadParameter: an option is wrong.
    """
    name, _, version = ref.partition("@")
    segment, selector, everyone = to
    if (segment is not None) + (selector is not None) + everyone != 1:
        raise typer.BadParameter("say which devices: give one of --segment NAME, --selector SELECTOR and --all")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise typer.BadParameter(f"'{ref}' is not a model reference: write NAME@VERSION, for example fashion@1")
    given = _Given()
    if segment is not None:
        given["segment"] = segment
    if selector is not None:
        if not selector.strip():
            raise typer.BadParameter("--selector is blank: name the devices, for example region=eu, or say --all")
        given["selector"] = selector
    if everyone:
        given["everyone"] = True
    if waves is not None:
        given["waves"] = _shares("--waves", waves)
    if start_share is not None:
        given["start_share"] = _share(start_share)
    if gate:
        given["gate"] = _settings(Gate, "gate", gate)
    if timers:
        given["timers"] = _settings(Timers, "timers", timers)
    if concurrency is not None:
        given["concurrency"] = concurrency
    if on_failure is not None:
        given["on_failure"] = on_failure
    if accept_drop:
        given["accept_drop"] = True
    if accept_signature:
        given["accept_signature"] = True
    try:
        asked = RolloutSpec(model=name, version=int(version), **given)
    except ValidationError as error:
        raise typer.BadParameter(first_fault(error.errors())) from None
    if fault := fault_of(asked):
        raise typer.BadParameter(fault)
    return asked


def _share(text: str) -> float:
    shares = _shares("--start-share", text)
    if len(shares) > 1:
        raise typer.BadParameter(f"--start-share '{text}' is more than one share: write, for example, 80%")
    return shares[0]


def _shares(flag: str, text: str) -> tuple[float, ...]:
    try:
        parts = [part.strip() for part in text.split(",")]
        shares = tuple(float(p.removesuffix("%")) / 100 if p.endswith("%") else float(p) for p in parts)
    except ValueError:
        kind = "a list of shares: write, for example, 1%,10%,100%" if flag == "--waves" else "a share: write 80% or 0.8"
        raise typer.BadParameter(f"{flag} '{text}' is not {kind}") from None
    if beyond := [part for part, share in zip(parts, shares, strict=True) if share > 1]:
        meant = "" if beyond[0].endswith("%") else f": did you mean {beyond[0]}%?"
        raise typer.BadParameter(f"{flag} '{beyond[0]}' is more than all devices{meant}")
    return shares


def _settings(shape: type[AnyShape], where: str, given: Sequence[str]) -> AnyShape:
    """Read settings written as `KEY=VALUE`."""
    pairs = [entry.partition("=") for entry in given]
    if wrong := next((name for name, equals, value in pairs if not (equals and value)), None):
        raise typer.BadParameter(f"'{wrong}' has no value: write KEY=VALUE, for example soak_s=60")
    names = [name for name, _, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise typer.BadParameter(f"--{where} gives {twice} twice: give it once")
    try:
        return shape.model_validate({name: _read(shape, name, value) for name, _, value in pairs})
    except ValidationError as error:
        raise typer.BadParameter(first_fault(error.errors(), within=where, of=shape)) from None


def _read(shape: type[BaseModel], name: str, value: str) -> str | list[str]:
    """A value as its field takes it: lists are written with commas."""
    field = shape.model_fields.get(name)
    return [part.strip() for part in value.split(",")] if field and get_origin(field.annotation) is tuple else value
