"""Who this device is: an incarnation born with the state folder, and a boot count."""

import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from edgefleet_agent.failpoints import reach
from edgefleet_agent.files import LateFile
from edgefleet_process.errors import StateNotWritable
from edgefleet_protocol.fields import Count, Id
from edgefleet_protocol.messages import Acked


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True)

    incarnation: Id
    boot: Count


@dataclass(frozen=True)
class Identity:
    """One life of a device; `boot` counts the agent's starts and never goes back.

    `file` is where that stands; while the disk does not take it, the next start gives the same count, and
    `first_report` keeps its reports apart from those of this one.
    """

    incarnation: str
    boot: int
    file: LateFile
    first_report: int = 0


def wake(folder: Path) -> Identity:
    """Count this start, and give the device an incarnation at the first one.

    Raises:
        StateNotWritable: this is the first start, and the disk takes nothing.
    """
    path, known = folder / "identity.json", True
    try:
        saved = _Saved.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        # An identity that cannot be read is a new life: an old one with a wrong count would mix up two.
        saved, known = _Saved(incarnation=uuid4().hex, boot=0), False
    saved = _Saved(incarnation=saved.incarnation, boot=saved.boot + 1)
    reach("waking")
    file = LateFile(path, saved.model_dump_json().encode(), keep_room=True)
    if file.settle():
        return Identity(saved.incarnation, saved.boot, file)
    if not known:
        raise StateNotWritable(f"{folder} cannot be written: make room there, or give another --state")
    return Identity(saved.incarnation, saved.boot, file, first_report=int(time.time()))


def is_copy(identity: Identity, reports: int, acked: Acked) -> bool:
    """Whether the controller has heard more of this incarnation than it has ever said.

    Then our state was copied or restored from an older image, and another life has gone on from there.

    Args:
        identity: who we are.
        reports: how many reports we have made since our start.
        acked: what the controller says.
    """
    if acked.incarnation != identity.incarnation or acked.boot is None or acked.report is None:
        return False
    return (acked.boot, acked.report) > (identity.boot, reports)


def begin_anew(folder: Path) -> Identity:
    """Take a new incarnation, and leave the old one to the life that has gone on with it."""
    saved = _Saved(incarnation=uuid4().hex, boot=1)
    file = LateFile(folder / "identity.json", saved.model_dump_json().encode(), keep_room=True)
    return Identity(saved.incarnation, saved.boot, file)
