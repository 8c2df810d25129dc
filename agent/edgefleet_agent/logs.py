"""What the agent says: lines for people, or JSON lines for programs."""

import json
import logging
import sys
from datetime import UTC, datetime

from edgefleet_protocol.floods import AtMost


class JsonLines(logging.Formatter):
    """One JSON object for each record: time (RFC 3339, UTC), level, device, message, and error with its traceback."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "device": self._device,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logs(device: str, form: str, verbose: bool) -> None:
    """Send every logger's records to stderr: `form` is text or json; `verbose` adds every packet."""
    handler = logging.StreamHandler(sys.stderr)
    readable = logging.Formatter(f"%(asctime)s {device} %(levelname)s %(message)s")
    handler.setFormatter(JsonLines(device) if form == "json" else readable)
    handler.addFilter(AtMost())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("edgefleet.agent.bus.packets").setLevel(logging.DEBUG if verbose else logging.WARNING)
