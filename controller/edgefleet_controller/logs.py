"""The controller's logs."""

import logging

from edgefleet_process.logs import LogFormat, send_logs_to_stderr

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logs(form: LogFormat) -> None:
    """Send every record to stderr under its logger's name."""
    send_logs_to_stderr(form, text=TEXT, fields={"logger": "%(name)s"})
    # uvicorn logs for its own developers; what matters to an operator is a warning.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
