"""What can be set about a controller."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Settings of one controller process.

    `state` is the folder of everything that it keeps; `broker_url` names a broker of your own, None starts the
    embedded one; `port` 0 takes a free port once and keeps it. With `accept_all` no device waits to be accepted.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    broker_url: str | None = None
    tick_s: float = 1.0
    hello_jitter_s: float = 2.0
    profiles: Path | None = None
    accept_all: bool = False
