"""`edgefleet-agent`: run the agent of one device, or look at it."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgefleet_agent.errors import AgentError
from edgefleet_agent.settings import DEFAULT_HTTP
from edgefleet_agent.version import agent_version
from edgefleet_process.environment import unread
from edgefleet_process.errors import ProcessError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 for success, 1 for failure, 2 for wrong usage."""
    arguments = vars(_parser().parse_args(argv))
    command = arguments.pop("command")
    if strays := unread(os.environ):
        print(f"edgefleet-agent: warning: {strays}", file=sys.stderr)
    try:
        if command == "status":
            return _status(arguments)
        if command == "check":
            return _check({name: value for name, value in arguments.items() if value is not None})
        return _run({name: value for name, value in arguments.items() if value is not None})
    except (AgentError, ProcessError) as error:
        print(f"edgefleet-agent: {error}", file=sys.stderr)
        return 1


def _run(flags: dict[str, Any]) -> int:
    from edgefleet_agent.events import Ended
    from edgefleet_agent.facts import describe
    from edgefleet_agent.failpoints import arm
    from edgefleet_agent.identity import wake
    from edgefleet_agent.logs import set_up_logs
    from edgefleet_agent.session import Session
    from edgefleet_agent.settings import load_settings
    from edgefleet_process.heap import keep_heap_small
    from edgefleet_process.locks import keep_private, make_folder, own_folder

    keep_heap_small()
    keep_private()
    verbose = flags.pop("verbose", False)
    settings = load_settings(flags)
    arm(settings.failpoint)
    make_folder(settings.state)
    set_up_logs(settings.device, settings.log_format, verbose)
    with own_folder(settings.state, "agent"):
        session = Session(settings, describe(settings), wake(settings.state))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: session.inbox.put(Ended()))
        session.run()
    return 0


def _check(flags: dict[str, Any]) -> int:
    from edgefleet_agent.preflight import show_checks
    from edgefleet_agent.settings import load_settings

    as_json = flags.pop("json")
    return show_checks(load_settings(flags), as_json)


def _status(arguments: dict[str, Any]) -> int:
    from edgefleet_agent.status import show_status

    return show_status(arguments["state"], arguments["last"], as_json=arguments["json"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgefleet-agent", description="The device side of edgefleet.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {agent_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    layers = "Flags win over EDGEFLEET_* variables, and these over the --config file."
    run = commands.add_parser("run", help="run the agent of one device until SIGTERM", description=layers)
    _add_settings(run)
    run.add_argument("--verbose", action="store_true", default=None, help="log every packet")
    check = commands.add_parser("check", help="whether an agent with these settings would work", description=layers)
    _add_settings(check)
    check.add_argument("--json", action="store_true", help="what was found, as JSON")
    status = commands.add_parser("status", help="show the state of an agent")
    status.add_argument("--state", type=Path, required=True, metavar="DIR", help="the agent's state folder")
    status.add_argument("--last", type=_count, default=10, metavar="N", help="how many transitions to show (10)")
    status.add_argument("--json", action="store_true", help="the whole report and the transitions, as JSON")
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    text: list[tuple[str, str, str]] = [
        ("--config", "FILE.toml", "a TOML file of settings; docs/agent.md lists their names"),
        ("--state", "DIR", "the state folder; one agent at a time"),
        ("--device", "ID", "the device id, [a-z0-9][a-z0-9_-]{0,63}"),
        ("--region", "NAME", "the region, by its name in the catalogue"),
        ("--link", "NAME", "the link, by its name in the catalogue"),
        ("--hardware", "NAME", "the hardware (a recognized board's, else the generic class of the instruction set)"),
        ("--simulate-hardware", "NAME", "report a catalogue entry's facts; this machine stands in for it"),
        ("--catalogue", "DIR", "the operator's catalogue, over the shipped one"),
        ("--http", "HOST:PORT", f"the inference endpoint ({DEFAULT_HTTP}); port 0 takes a free one and keeps it"),
        ("--username", "NAME", "the broker's user name"),
        ("--password-file", "FILE", "a file with the broker's password"),
        ("--ca-file", "FILE", "the certificate authority of an mqtts:// broker"),
    ]
    for flag, metavar, told in text:
        command.add_argument(flag, metavar=metavar, help=told)
    command.add_argument(
        "--broker",
        action="append",
        metavar="mqtt://HOST:PORT",
        help="the broker; mqtts:// for TLS; may be repeated, or name several with commas: they are tried in order",
    )
    command.add_argument(
        "--http-name",
        dest="http_names",
        action="append",
        metavar="NAME",
        help="asked for by this name; may be repeated",
    )
    command.add_argument("--heartbeat", dest="heartbeat_s", metavar="SECONDS", help="between reports (60)")
    command.add_argument("--window", dest="window_s", metavar="SECONDS", help="of telemetry (60)")
    command.add_argument("--threads", metavar="N", help="that one inference may use (1)")
    command.add_argument("--memory", dest="memory_mb", metavar="MB", help="that all models may take together")
    command.add_argument("--label", dest="labels", action=_Pairs, metavar="KEY=VALUE", help="may be repeated")
    command.add_argument("--log-format", choices=("text", "json"), help="readable lines (text), or JSON lines")


def _count(given: str) -> int:
    if not given.isdecimal():
        raise argparse.ArgumentTypeError(f"'{given}' is not a number of transitions: write 0 or more")
    return int(given)


class _Pairs(argparse.Action):
    """Collects KEY=VALUE flags into one table."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, given: Any, option: str | None = None
    ) -> None:
        key, equals, value = str(given).partition("=")
        if not equals:
            parser.error(f"'{given}' is not KEY=VALUE")
        setattr(namespace, self.dest, (getattr(namespace, self.dest) or {}) | {key: value})
