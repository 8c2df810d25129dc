"""Who this device is: an incarnation, created with the state folder, and a boot count."""

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

    `file` keeps both; as long as it cannot be written, the next start gets the same count, and `first_report` tells
    its reports from those of this one.
    """

    incarnation: str
    boot: int
    file: LateFile
    first_report: int = 0


def wake(folder: Path) -> Identity:
    """Count this start; the first one also creates the incarnation.

    Raises:
        StateNotWritable: this is the first start, and the folder cannot be written.
    """
    path, known = folder / "identity.json", True
    try:
        saved = _Saved.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        # An unreadable identity means a new life: the old one with a wrong count would mix up two.
        saved, known = _Saved(incarnation=uuid4().hex, boot=0), False
    saved = _Saved(incarnation=saved.incarnation, boot=saved.boot + 1)
    reach("waking")
    file = LateFile(path, saved.model_dump_json().encode(), keep_room=True)
    if file.settle():
        return Identity(saved.incarnation, saved.boot, file)
    if not known:
        raise StateNotWritable(f"{folder} cannot be written: make room, or use another --state")
    return Identity(saved.incarnation, saved.boot, file, first_report=int(time.time()))


def is_copy(identity: Identity, reports: int, acked: Acked) -> bool:
    """Whether the controller has heard more from this incarnation than we ever sent.

    Then our state was copied or restored from an older image, and the incarnation has moved on from there.

    Args:
        identity: who we are.
        reports: how many reports we have sent since our start.
        acked: the controller's acknowledgement.
    """
    if acked.incarnation != identity.incarnation or acked.boot is None or acked.report is None:
        return False
    return (acked.boot, acked.report) > (identity.boot, reports)


def begin_anew(folder: Path) -> Identity:
    """Take a new incarnation, and leave the old one to the other life."""
    saved = _Saved(incarnation=uuid4().hex, boot=1)
    file = LateFile(folder / "identity.json", saved.model_dump_json().encode(), keep_room=True)
    return Identity(saved.incarnation, saved.boot, file)
