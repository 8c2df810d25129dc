"""Every topic of the wire; the only place where topic strings are built or parsed."""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Literal

from edgefleet_profiles.names import NAME_PATTERN
from edgefleet_protocol.errors import MalformedTopic

ROOT = "edgefleet/v1"
HELLO = f"{ROOT}/down/all/hello"

UpKind = Literal["reported", "presence", "telemetry", "want"]
UP_KINDS: tuple[UpKind, ...] = ("reported", "presence", "telemetry", "want")
_KINDS: dict[str, UpKind] = {kind: kind for kind in UP_KINDS}

_NAME = re.compile(NAME_PATTERN)
_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_LANE = re.compile(r"^(?P<channel>[^@]+)(?:@(?P<pace>[0-9]{1,10})-(?P<chunk_bytes>[0-9]{1,6}))?$")


@dataclass(frozen=True)
class UpTopic:
    """Who speaks, and with what kind of message."""

    device: str
    kind: UpKind


@dataclass(frozen=True)
class Lane:
    """The last part of a blob's topic: who hears its chunks.

    Attributes:
        channel: the kind of link.
        pace: the pace, in kbit/s, of listeners that give credit; None for those that take what is sent.
        chunk_bytes: with a pace, the size of the chunks: every frame on such a topic is of one size.
    """

    channel: str
    pace: int | None = None
    chunk_bytes: int = 0

    def __str__(self) -> str:
        return self.channel if self.pace is None else f"{self.channel}@{self.pace}-{self.chunk_bytes}"


@dataclass(frozen=True)
class BlobTopic:
    """Which blob a chunk belongs to, and the lane it is sent on."""

    blob: str
    lane: Lane


def shard(device: str) -> str:
    """One of 256 parts of the fleet: the first byte of sha256(device id), in hex."""
    return sha256(device.encode()).hexdigest()[:2]


def desired(device: str) -> str:
    """Retained, controller to device: DesiredState."""
    return f"{ROOT}/down/{device}/desired"


def acked(device: str) -> str:
    """Controller to device: Acked, the telemetry that is stored."""
    return f"{ROOT}/down/{device}/acked"


def up(device: str, kind: UpKind) -> str:
    """Device to controller."""
    return f"{ROOT}/up/{shard(device)}/{device}/{kind}"


def up_filters(kind: UpKind) -> str:
    """The subscription for one kind of message from every device."""
    return f"{ROOT}/up/+/+/{kind}"


def blob(digest: str, lane: Lane | str) -> str:
    """Controller to all listeners on this lane: chunk frames of one blob."""
    return f"{ROOT}/blobs/{digest}/{lane}"


@lru_cache(maxsize=32_768)  # a fleet's telemetry arrives on the same topics all day
def parse_up(topic: str) -> UpTopic:
    """Parse a topic that devices publish on.

    Raises:
        MalformedTopic: not one of edgefleet's topics, or the shard is not the device's.
    """
    prefix, _, rest = topic.partition(f"{ROOT}/up/")
    parts = rest.split("/")
    if prefix or len(parts) != 3:
        raise MalformedTopic(f"{topic[:200]!r} is not {ROOT}/up/SHARD/DEVICE/KIND")
    part, device, kind = parts
    known = _KINDS.get(kind)
    if known is None or not _NAME.fullmatch(device) or part != shard(device):
        raise MalformedTopic(f"{topic[:200]!r} does not name a known kind, a device id and its shard")
    return UpTopic(device, known)


def parse_blob(topic: str) -> BlobTopic:
    """Parse a topic that chunks are sent on.

    Raises:
        MalformedTopic: not one of edgefleet's topics.
    """
    parts = topic.split("/")
    if len(parts) != 5 or parts[:3] != [*ROOT.split("/"), "blobs"]:
        raise MalformedTopic(f"{topic[:200]!r} is not {ROOT}/blobs/SHA256/LANE")
    digest, lane = parts[3], _LANE.fullmatch(parts[4])
    if not _DIGEST.fullmatch(digest) or lane is None or not _NAME.fullmatch(lane["channel"]):
        raise MalformedTopic(f"{topic[:200]!r} does not name a sha256 and a channel")
    if lane["pace"] is None:
        return BlobTopic(digest, Lane(lane["channel"]))
    return BlobTopic(digest, Lane(lane["channel"], int(lane["pace"]), int(lane["chunk_bytes"])))
