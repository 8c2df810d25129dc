"""Log lines for programs."""

import json
import logging
import sys

from edgefleet_process.logs import JsonLines


def test_a_json_line_carries_the_given_fields_and_the_traceback_in_one_line() -> None:
    try:
        raise ValueError("no room")
    except ValueError:
        record = logging.LogRecord("edgefleet.x", logging.ERROR, "x.py", 1, "lost %d", (2,), sys.exc_info())
    line = JsonLines({"device": "d", "logger": "%(name)s"}).format(record)
    told = json.loads(line)
    assert "\n" not in line
    assert list(told) == ["time", "level", "device", "logger", "message", "error"]
    assert (told["level"], told["device"], told["logger"], told["message"]) == ("error", "d", "edgefleet.x", "lost 2")
    assert told["error"].endswith("ValueError: no room")
