"""What the process says: lines for people, or JSON lines for programs."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from edgefleet_protocol.floods import AtMost

LogFormat = Literal["text", "json"]
READABLE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object for each record: time (RFC 3339, UTC), level, logger, message, and error with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logs(form: LogFormat) -> None:
    """Send every logger's records to stderr, in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(READABLE))
    handler.addFilter(AtMost())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # uvicorn's own words are for its developers; what matters of them is a warning.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
