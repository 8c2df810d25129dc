"""The controller's settings."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from edgefleet_compression.heartbeat import SILENT_S
from edgefleet_controller.errors import Invalid

CONFLICT_S = 900.0
BUILD_WORKERS = 2
BUILD_S = SILENT_S


@dataclass(frozen=True)
class AllowedRange:
    """The least and the most that a setting may be, with its unit."""

    least: float
    most: float
    unit: str


BOUNDS = {
    "tick_s": AllowedRange(0.05, 60, "seconds"),
    "hello_jitter_s": AllowedRange(0, 600, "seconds"),
    "telemetry_keep_h": AllowedRange(1, 24 * 3660, "hours"),  # ten years
    "rollups_keep_days": AllowedRange(1, 36_600, "days"),  # a hundred
    "port": AllowedRange(0, 65_535, "TCP ports"),
    "broker_port": AllowedRange(0, 65_535, "TCP ports"),
    "conflict_s": AllowedRange(1, 30 * 86_400, "seconds"),
    "build_workers": AllowedRange(1, 256, "builds"),
    "build_s": AllowedRange(1, 30 * 86_400, "seconds"),
    "build_mb": AllowedRange(64, 2**30, "MB"),  # a petabyte
}
"""What can be obeyed: beyond it times overflow, or a limit is none."""


_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")


@dataclass(frozen=True)
class ControllerSettings:
    """Settings of one controller process.

    `state` is the folder for everything that it keeps. `host` is where the API and the embedded broker listen; beyond
    loopback both need credentials. `port` and `broker_port` 0 pick a free port once and keep it. `broker_url` names
    a broker of your own, or several with commas between; None starts the embedded one. `broker_username`,
    `broker_password_file` and `broker_ca_file` are for your own. With `accept_all`, no device waits to be accepted.
    Telemetry windows are kept for `telemetry_keep_h` hours, their roll-ups for `rollups_keep_days` days. Two
    incarnations of a device heard alternately within `conflict_s` seconds are in conflict until only one has been heard
    for that long. Up to `build_workers` builds run in parallel; one is ended that makes no progress for `build_s`
    seconds, or takes more than `build_mb` MB of memory; None divides most of the host's memory among them.
    `allow_hosts` are names by which the API may be asked for, beside localhost, this machine's name and its addresses.

    Raises:
        Invalid: a number is out of its bounds, or none.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    broker_port: int = 0
    broker_url: str | None = None
    broker_username: str | None = None
    broker_password_file: Path | None = None
    broker_ca_file: Path | None = None
    tick_s: float = 1.0
    hello_jitter_s: float = 2.0
    profiles: Path | None = None
    accept_all: bool = False
    telemetry_keep_h: float = 48
    rollups_keep_days: float = 90
    conflict_s: float = CONFLICT_S
    build_workers: int = BUILD_WORKERS
    build_s: float = BUILD_S
    build_mb: float | None = None
    allow_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See that what is given can be obeyed."""
        if wrong := [name for name in self.allow_hosts if not _HOST_NAME.fullmatch(name)]:
            raise Invalid(f"allow_hosts cannot hold '{wrong[0]}': give a host's name alone, such as fleet.example.org")
        if self.broker_url is not None and not self.broker_url.strip():
            raise Invalid("the broker's address is blank: leave it out for the embedded broker")
        for name, bounds in BOUNDS.items():
            given = getattr(self, name)
            if given is not None and not bounds.least <= given <= bounds.most:  # nan is within none
                allowed = f"from {bounds.least:,.10g} to {bounds.most:,.10g} {bounds.unit}"
                raise Invalid(f"{name} cannot be {given}: give a number {allowed}")

    @property
    def beyond_loopback(self) -> bool:
        """Whether other machines can connect to `host`."""
        return not ipaddress.ip_address(self.host).is_loopback


def parse_listen(text: str, port: int = 0) -> tuple[str, int]:
    """Parse ADDRESS or ADDRESS:PORT; an IPv6 address with a port needs brackets.

    Args:
        text: such as 0.0.0.0, 10.0.0.5:8080, ::1 or [::1]:8080; `localhost` is 127.0.0.1.
        port: used if the text has no port; 0 means none is given.

    Raises:
        Invalid: not an IP address, not a port, or another port than the given one.
    """
    host, written = text, str(port)
    if text.startswith("[") or text.count(":") == 1:
        host, _, after = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        host, written = host.strip("[]"), after or str(port)
    host = "127.0.0.1" if host == "localhost" else host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        advice = "write ADDRESS or ADDRESS:PORT, for example 10.0.0.5:8080"
        raise Invalid(f"'{text}' is not an address to listen on: {advice}") from None
    if port and written != str(port):
        raise Invalid(f"'{text}' names another port than --port {port}: give one of them")
    if not written.isdecimal() or int(written) > 65535:
        raise Invalid(f"'{written}' is not a port: write a number up to 65535")
    return host, int(written)
