"""How far downloads are, and how long they take yet: by the link's rate, else as fast as so far, else nobody knows."""

from typing import Any

import pytest

from edgefleet_contract.rollouts import FetchingView
from edgefleet_controller.rollouts.fetching import fetching, left_s
from edgefleet_controller.store.contract.rollouts import DownloadSoFar


def so_far(done: int = 25_000, **fields: Any) -> DownloadSoFar:
    given = {"wave": 1, "bytes_total": 100_000, "seconds": 5.0, "held": False, "measured_kbps": None}
    return DownloadSoFar(bytes_done=done, **{**given, **fields})


@pytest.mark.parametrize(
    ("download", "left"),
    [
        (so_far(measured_kbps=20.0), 30.0),
        (so_far(), 15.0),
        (so_far(done=0, measured_kbps=20.0), 40.0),
        (so_far(done=0), None),
        (so_far(seconds=0.0), None),
        (so_far(done=100_000), 0.0),
        (so_far(held=True, measured_kbps=20.0), None),
    ],
)
def test_what_is_left_takes_as_long_as_the_rate_says(download: DownloadSoFar, left: float | None) -> None:
    assert left_s(download) == (None if left is None else pytest.approx(left))


def test_a_wave_takes_as_long_as_its_slowest_and_is_unknown_if_one_is() -> None:
    both = [so_far(measured_kbps=20.0), so_far(done=50_000, measured_kbps=200.0)]
    assert fetching(both) == FetchingView(devices=2, bytes_done=75_000, bytes_total=200_000, left_s=30.0)
    unknown = fetching([*both, so_far(done=0)])
    assert unknown is not None and unknown.left_s is None
    assert fetching([]) is None
