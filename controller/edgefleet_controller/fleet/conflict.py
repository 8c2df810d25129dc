"""Two agents with one device id: rules over which incarnations were heard, and when. No I/O."""

from collections.abc import Iterable

from edgefleet_contract.devices import HeardRecord


def alternates(heard: str, now_ms: int, current: HeardRecord, others: Iterable[HeardRecord], window_ms: int) -> bool:
    """Whether an incarnation that is heard now is one that had given way to another a short while ago.

    A, then B is a device that was wiped and joined again. A, then B, then A again within the window is two agents.

    Args:
        heard: the incarnation that reports now.
        now_ms: when.
        current: who was heard last.
        others: who was heard before that.
        window_ms: how long ago A may have been heard last.
    """
    return heard != current.incarnation and any(
        other.incarnation == heard and now_ms - other.last_seen_ms <= window_ms for other in others
    )


def is_over(heard: str, now_ms: int, others: Iterable[HeardRecord], window_ms: int) -> bool:
    """Whether nobody but the one that is heard now has been heard for as long as the window."""
    return all(other.incarnation == heard or now_ms - other.last_seen_ms > window_ms for other in others)


def told(incarnations: Iterable[str]) -> str:
    """A conflict in words."""
    return f"two agents report under this id: incarnations {' and '.join(sorted(incarnations))}"
