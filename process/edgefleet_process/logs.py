"""Logs: lines for people, or JSON lines for programs."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from edgefleet_process.floods import FloodFilter

LogFormat = Literal["text", "json"]


class JsonLines(logging.Formatter):
    """One JSON object per record: time (RFC 3339, UTC), level, the given fields, message, and error with its traceback.

    Args:
        fields: further fields and their patterns, as in `logging.Formatter`: {"logger": "%(name)s"}.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **{name: pattern % record.__dict__ for name, pattern in self._fields.items()},
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def send_logs_to_stderr(form: LogFormat, text: str, fields: Mapping[str, str], level: int = logging.INFO) -> None:
    """Send every logger's records to stderr, without floods.

    Args:
        form: lines for people or for programs.
        text: the pattern of a line for people.
        fields: as for `JsonLines`.
        level: records below it are dropped.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(fields) if form == "json" else logging.Formatter(text))
    handler.addFilter(FloodFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
