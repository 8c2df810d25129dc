"""The variables of the environment that begin with EDGEFLEET_: which there are, and what to say of others. Pure.

Programs on one machine share an environment: each knows the variables of all, so that none takes another's for a
mistake. Whatever a plug-in reads begins with EDGEFLEET_X_, and is its own affair.
"""

from collections.abc import Iterable, Mapping

PREFIX = "EDGEFLEET_"
PLUGINS = "EDGEFLEET_X_"
COMMANDS = ("API", "TOKEN", "TRACEBACK")
AGENT = (
    *("BROKER", "CATALOGUE", "CA_FILE", "CONFIG", "DEVICE", "FAILPOINT", "HARDWARE", "HEARTBEAT_S", "HTTP"),
    *("HTTP_NAMES", "LABELS", "LINK", "LOG_FORMAT", "MEMORY_MB", "PASSWORD_FILE", "REGION", "SIMULATE_HARDWARE"),
    *("STALL_S", "STATE", "THREADS", "USERNAME", "WINDOW_S"),
)
SERVICE = ("LISTEN", "OPTIONS")
"""Of deploy/systemd's unit for the controller, which makes flags of them."""
KNOWN = frozenset(PREFIX + name for name in (*COMMANDS, *AGENT, *SERVICE))
CLOSE = 0.7
"""Of names without their prefix: `TOKN` and `TOKEN` are 0.89 alike."""


def unread(environment: Mapping[str, str]) -> str | None:
    """Say which variables nothing reads, and what they may have been meant for; None if there are none.

    Only names are looked at: a value may be a secret.
    """
    strays = [name for name in sorted(environment) if name.upper().startswith(PREFIX) and not _is_read(name)]
    if not strays:
        return None
    told = ", ".join(_told(name) for name in strays)
    return f"nothing reads {told}: correct or unset {'it' if len(strays) == 1 else 'them'}; plug-ins use {PLUGINS}NAME"


def _is_read(name: str) -> bool:
    return name in KNOWN or name.startswith(PLUGINS)


def _told(name: str) -> str:
    near = _nearest(name.upper().removeprefix(PREFIX), (known.removeprefix(PREFIX) for known in sorted(KNOWN)))
    shown = ascii(name[:100])[1:-1]  # an environment may hold any bytes
    return f"{shown} (did you mean {PREFIX}{near}?)" if near else shown


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that is spelled much alike, or shares a word: `API_URL` and `API`, `HEARTBEAT` and `HEARTBEAT_S`."""
    from difflib import get_close_matches  # rarely needed, and a device has little memory

    names = list(known)
    alike = get_close_matches(name, names, n=1, cutoff=CLOSE)
    words = set(name.split("_"))
    return next(iter([*alike, *(one for one in names if words & set(one.split("_")))]), None)
