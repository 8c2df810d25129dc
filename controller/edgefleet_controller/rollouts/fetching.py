"""How far the devices of a wave are with their downloads, and how long the slowest takes yet; pure."""

from collections.abc import Iterable

from edgefleet_contract.rollouts import FetchingView
from edgefleet_controller.store.contract.rollouts import DownloadSoFar

BITS_PER_KBIT, BITS_PER_BYTE = 1000, 8


def fetching(downloads: Iterable[DownloadSoFar]) -> FetchingView | None:
    """What the devices of one wave have got; None if none is fetching."""
    known = list(downloads)
    if not known:
        return None
    left = [left_s(one) for one in known]
    told = [seconds for seconds in left if seconds is not None]
    return FetchingView(
        devices=len(known),
        bytes_done=sum(one.bytes_done for one in known),
        bytes_total=sum(one.bytes_total for one in known),
        left_s=max(told) if len(told) == len(left) else None,
    )


def left_s(download: DownloadSoFar) -> float | None:
    """How long a download takes yet: at its link's rate, else as fast as so far; None if neither is known."""
    if download.held:
        return None
    so_far_kbps = _kbit(download.bytes_done) / download.seconds if download.seconds > 0 else 0.0
    kbps = download.measured_kbps or so_far_kbps
    return _kbit(max(0, download.bytes_total - download.bytes_done)) / kbps if kbps else None


def _kbit(size_bytes: int) -> float:
    return size_bytes * BITS_PER_BYTE / BITS_PER_KBIT
