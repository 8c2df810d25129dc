"""The last release: its version, its commit, and its messages as they were on the wire."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Release:
    """What `released.toml` says; `messages` is the folder of its messages."""

    version: str
    commit: str
    messages: Path

    def message(self, kind: str) -> bytes:
        """A message of that release."""
        return (self.messages / f"{kind}.json").read_bytes()


def last_release() -> Release:
    """The last release."""
    said: dict[str, Any] = tomllib.loads((ROOT / "released.toml").read_text())
    return Release(said["version"], said["commit"], ROOT / "tests" / "protocol" / "fixtures" / said["messages"])
