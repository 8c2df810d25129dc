"""Rules that tell, from which incarnations were heard and when, whether two agents share one device id. No I/O."""

from collections.abc import Iterable

from edgefleet_contract.devices import HeardRecord


def alternates(heard: str, now_ms: int, current: HeardRecord, others: Iterable[HeardRecord], window_ms: int) -> bool:
    """Whether an incarnation reports again after another took its place within the window.

    A then B is a device that was wiped and has joined again. A, then B, then A again within the window means two
    agents.

    Args:
        heard: the incarnation that reports now.
        now_ms: the current time.
        current: the incarnation heard last.
        others: the incarnations heard before that.
        window_ms: how long ago `heard` may last have been heard.
    """
    return heard != current.incarnation and any(
        other.incarnation == heard and now_ms - other.last_seen_ms <= window_ms for other in others
    )


def is_over(heard: str, now_ms: int, others: Iterable[HeardRecord], window_ms: int) -> bool:
    """Whether no incarnation but `heard` has been heard within the window."""
    return all(other.incarnation == heard or now_ms - other.last_seen_ms > window_ms for other in others)


def told(incarnations: Iterable[str]) -> str:
    """A sentence that describes a conflict."""
    return f"two agents report under this id: incarnations {' and '.join(sorted(incarnations))}"
