"""`edgefleet serve`, the command that runs the controller; the operator's command line mounts it."""

import importlib.util
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from edgefleet_controller.credentials import load_credentials
from edgefleet_controller.credentials import make_credentials as make
from edgefleet_controller.errors import ControllerError
from edgefleet_controller.settings import BOUNDS, BUILD_S, BUILD_WORKERS, CONFLICT_S, ControllerSettings, parse_listen
from edgefleet_process.errors import ProcessError
from edgefleet_process.locks import keep_private
from edgefleet_process.logs import LogFormat
from edgefleet_profiles.errors import ProfileError

NEEDED = {"controller": ("fastapi", "sqlite_utils"), "onnx": ("onnx",)}
"""What `serve` cannot start without, by extra.

Without torch it starts, and says which models it cannot compress.
"""


class _Range(TypedDict):
    min: float
    max: float


def _within(setting: str) -> _Range:
    """The range of the option for a setting."""
    return _Range(min=BOUNDS[setting].least, max=BOUNDS[setting].most)


def serve(
    state: Annotated[Path, typer.Option(help="folder for everything the controller keeps")] = Path(
        ".edgefleet/controller"
    ),
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS[:PORT]", help="address of API and broker; credentials beyond loopback")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port of the API; 0 picks a free one and keeps it")] = 0,
    make_credentials: Annotated[
        bool, typer.Option("--make-credentials", help="make credentials if there are none, and print them once")
    ] = False,
    broker_port: Annotated[int, typer.Option(help="port of the embedded broker; 0 picks a free one")] = 0,
    broker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="mqtt://HOST:PORT", help="your own broker; several are tried in order; default: the embedded one"
        ),
    ] = None,
    broker_user: Annotated[str | None, typer.Option(help="the controller's user at your own broker")] = None,
    broker_password_file: Annotated[Path | None, typer.Option(help="file with that user's password")] = None,
    broker_ca_file: Annotated[Path | None, typer.Option(help="CA certificate of an mqtts:// broker")] = None,
    profiles: Annotated[Path | None, typer.Option(help="folder of your own catalogue entries")] = None,
    tick: Annotated[float, typer.Option(help="seconds between ticks of the rollouts", **_within("tick_s"))] = 1.0,
    hello_jitter: Annotated[
        float, typer.Option(help="seconds that first reports spread over", **_within("hello_jitter_s"))
    ] = 2.0,
    telemetry_keep: Annotated[
        float, typer.Option(metavar="HOURS", help="how long to keep windows", **_within("telemetry_keep_h"))
    ] = 48,
    rollups_keep: Annotated[
        float, typer.Option(metavar="DAYS", help="how long to keep hourly roll-ups", **_within("rollups_keep_days"))
    ] = 90,
    conflict_window: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="window for noticing two agents with one id", **_within("conflict_s")),
    ] = CONFLICT_S,
    build_workers: Annotated[
        int, typer.Option(help="how many builds run in parallel", **_within("build_workers"))
    ] = BUILD_WORKERS,
    build_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="how long a build may make no progress", **_within("build_s"))
    ] = BUILD_S,
    build_memory: Annotated[
        float | None,
        typer.Option(
            metavar="MB", help="memory limit of a build; default: a share of the host's", **_within("build_mb")
        ),
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="readable lines, or JSON lines")] = "text",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="a name by which an API without a token is asked for; may be repeated"),
    ] = None,
    accept_all: Annotated[bool, typer.Option("--accept-all", help="accept every device that reports")] = False,
) -> None:
    """Run the controller: broker, rollouts, delivery, telemetry and the REST API."""
    _check_extras()
    from edgefleet_controller.serve import serve as run

    keep_private()
    try:
        host, listen_port = parse_listen(listen, port)
        if make_credentials:
            _print_credentials(state)
    except (ControllerError, OSError) as error:
        raise _refusal(error) from None
    try:
        settings = ControllerSettings(
            state=state,
            host=host,
            port=listen_port,
            broker_port=broker_port,
            broker_url=",".join(broker) if broker else None,
            broker_username=broker_user,
            broker_password_file=broker_password_file,
            broker_ca_file=broker_ca_file,
            profiles=profiles,
            accept_all=accept_all,
            tick_s=tick,
            hello_jitter_s=hello_jitter,
            telemetry_keep_h=telemetry_keep,
            rollups_keep_days=rollups_keep,
            conflict_s=conflict_window,
            build_workers=build_workers,
            build_s=build_timeout,
            build_mb=build_memory,
            allow_hosts=tuple(allow_host or ()),
        )
        run(settings, log_format)
    except (ControllerError, ProcessError, ProfileError, OSError) as error:
        raise _refusal(error) from None


def _refusal(error: Exception) -> typer.TyperException:
    return typer.TyperException(" ".join(str(error).split()))


def _check_extras() -> None:
    """Check that everything the controller and its builds need is installed.

    Raises:
        typer.TyperException: something is missing; the message names it and its extras.
    """
    lacked = {name: extra for extra, names in NEEDED.items() for name in names if not importlib.util.find_spec(name)}
    if lacked:
        extras = ",".join(sorted(set(lacked.values())))
        raise typer.TyperException(f"this install lacks {', '.join(lacked)}: pip install 'edgefleet[{extras}]'")


def _print_credentials(state: Path) -> None:
    """Make the credentials of a state folder that has none, and print them this once."""
    if load_credentials(state):
        typer.echo("credentials already exist: their passwords and token are not printed again", err=True)
        return
    state.mkdir(parents=True, exist_ok=True)
    made, token = make(state)
    typer.echo("This is printed only once; of the token, only a hash is kept.")
    typer.echo(f"API token (EDGEFLEET_TOKEN):             {token}")
    typer.echo(f"broker user of devices:                  {made.device.username}")
    typer.echo(f"broker password of devices (in a file):  {made.device.password}")
