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


@dataclass(frozen=True)
class UpTopic:
    """Who speaks, and with what kind of message."""

    device: str
    kind: UpKind


@dataclass(frozen=True)
class BlobTopic:
    """Which blob a chunk belongs to, and on which channel it travels."""

    blob: str
    channel: str


def shard(device: str) -> str:
    """Two hex digits that split the fleet into 256 parts: the first byte of sha256(device id)."""
    return sha256(device.encode()).hexdigest()[:2]


def desired(device: str) -> str:
    """Retained, controller to device: DesiredState."""
    return f"{ROOT}/down/{device}/desired"


def acked(device: str) -> str:
    """Controller to device: telemetry that is stored."""
    return f"{ROOT}/down/{device}/acked"


def up(device: str, kind: UpKind) -> str:
    """Device to controller."""
    return f"{ROOT}/up/{shard(device)}/{device}/{kind}"


def up_filters(kind: UpKind) -> str:
    """The subscription that takes one kind of message from every device."""
    return f"{ROOT}/up/+/+/{kind}"


def blob(digest: str, channel: str) -> str:
    """Controller to everyone who listens on this channel: chunk frames of one blob."""
    return f"{ROOT}/blobs/{digest}/{channel}"


@lru_cache(maxsize=32_768)  # who speaks once speaks again: a fleet's telemetry comes on the same topics all day
def parse_up(topic: str) -> UpTopic:
    """Read a topic on which devices speak.

    Raises:
        MalformedTopic: it is none of ours, or its shard is not its device's.
    """
    prefix, _, rest = topic.partition(f"{ROOT}/up/")
    parts = rest.split("/")
    if prefix or len(parts) != 3:
        raise MalformedTopic(f"{topic[:200]!r} is not {ROOT}/up/SHARD/DEVICE/KIND")
    part, device, kind = parts
    known = _KINDS.get(kind)
    if known is None or not _NAME.fullmatch(device) or part != shard(device):
        raise MalformedTopic(f"{topic[:200]!r} names no known kind, device or shard")
    return UpTopic(device, known)


def parse_blob(topic: str) -> BlobTopic:
    """Read a topic on which chunks travel.

    Raises:
        MalformedTopic: it is none of ours.
    """
    parts = topic.split("/")
    if len(parts) != 5 or parts[:3] != [*ROOT.split("/"), "blobs"]:
        raise MalformedTopic(f"{topic[:200]!r} is not {ROOT}/blobs/SHA256/LANE")
    digest, channel = parts[3:]
    if not _DIGEST.fullmatch(digest) or not _NAME.fullmatch(channel):
        raise MalformedTopic(f"{topic[:200]!r} names no sha256 or no channel")
    return BlobTopic(digest, channel)
