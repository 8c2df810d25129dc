"""Who this device is: an incarnation born with the state folder, a boot count, and one agent per folder."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from edgefleet_agent.durable import replace_file
from edgefleet_agent.errors import StateInUse
from edgefleet_agent.failpoints import reach
from edgefleet_protocol.messages import Count, Id


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True)

    incarnation: Id
    boot: Count


@dataclass(frozen=True)
class Identity:
    """One life of a device; `boot` counts the agent's starts and never goes back."""

    incarnation: str
    boot: int


def wake(folder: Path) -> Identity:
    """Count this start, and give the device an incarnation at the first one."""
    path = folder / "identity.json"
    try:
        saved = _Saved.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        # An identity that cannot be read is a new life: an old one with a wrong count would mix up two.
        saved = _Saved(incarnation=uuid4().hex, boot=0)
    saved = _Saved(incarnation=saved.incarnation, boot=saved.boot + 1)
    reach("waking")
    replace_file(path, saved.model_dump_json().encode())
    return Identity(saved.incarnation, saved.boot)


def lock(folder: Path) -> int:
    """Take the state folder for this process; the descriptor holds it until the process ends.

    Raises:
        StateInUse: another agent has it.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StateInUse(f"another agent works in {folder}: stop it, or give this one another --state") from None
    return descriptor
