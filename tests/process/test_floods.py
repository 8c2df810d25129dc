"""A log takes what happens now and then, and not what somebody sends without end."""

import logging

from edgefleet_process.floods import FloodFilter


class Log:
    """Takes records through a filter; `now_s` is its clock."""

    def __init__(self, per_minute: int) -> None:
        self.now_s = 0.0
        self._filter = FloodFilter(per_minute, lambda: self.now_s)

    def write(self, line: int, level: int = logging.WARNING) -> str | None:
        record = logging.LogRecord("x", level, "file.py", line, "number %d", (line,), None)
        return record.getMessage() if self._filter.filter(record) else None


def test_one_line_of_the_source_writes_so_many_a_minute_and_then_says_what_was_left_out() -> None:
    log = Log(2)
    assert [log.write(1) for _ in range(5)] == ["number 1", "number 1", None, None, None]
    log.now_s = 59.9
    assert log.write(1) is None
    log.now_s = 60
    assert log.write(1) == "number 1 (and 4 more like it, left out)"
    assert log.write(1) == "number 1"
    assert log.write(1) is None


def test_another_line_is_not_held_back_and_neither_is_news() -> None:
    log = Log(1)
    assert [log.write(1), log.write(1), log.write(2)] == ["number 1", None, "number 2"]
    assert [log.write(3, logging.INFO) for _ in range(3)] == ["number 3"] * 3
