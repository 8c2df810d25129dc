"""A long transfer is reported between heartbeats: for each tenth, not too often, and for little of the link's bytes."""

import pytest

from edgefleet_agent.progress_reports import TENTHS, WORTH, ProgressReports
from edgefleet_protocol.messages import Transfer

HEARTBEAT_S = 60.0
REPORT_BYTES = 1000
TOTAL = 10_000_000


def so_far(done: int, total: int = TOTAL) -> list[Transfer]:
    return [Transfer(bytes_total=total, bytes_done=done)]


@pytest.fixture
def progress() -> ProgressReports:
    made = ProgressReports(HEARTBEAT_S)
    made.reported(so_far(0), REPORT_BYTES, 0.0)
    return made


def test_another_tenth_is_due_and_less_is_not(progress: ProgressReports) -> None:
    assert not progress.is_due(so_far(TOTAL // TENTHS - 1), 30.0)
    assert progress.is_due(so_far(TOTAL // TENTHS), 30.0)
    progress.reported(so_far(TOTAL // TENTHS), REPORT_BYTES, 30.0)
    assert not progress.is_due(so_far(TOTAL // TENTHS + 1), 40.0)


def test_a_quick_transfer_is_not_told_more_than_ten_times_a_heartbeat(progress: ProgressReports) -> None:
    assert not progress.is_due(so_far(TOTAL), HEARTBEAT_S / TENTHS - 0.1)
    assert progress.is_due(so_far(TOTAL), HEARTBEAT_S / TENTHS)


def test_a_report_costs_a_slow_link_a_fiftieth_of_what_arrives_at_most(progress: ProgressReports) -> None:
    small = 10 * REPORT_BYTES
    assert not progress.is_due(so_far(small - 1, small), 30.0)
    enough = WORTH * REPORT_BYTES
    assert not progress.is_due(so_far(enough - 1, 2 * enough), 30.0)
    assert progress.is_due(so_far(enough, 2 * enough), 30.0)


def test_another_attempt_is_counted_from_its_beginning(progress: ProgressReports) -> None:
    progress.reported(so_far(TOTAL), REPORT_BYTES, 10.0)
    assert not progress.is_due([], 30.0)
    assert not progress.is_due(so_far(TOTAL // TENTHS - 1), 30.0)
    assert progress.is_due(so_far(TOTAL // TENTHS), 30.0)
