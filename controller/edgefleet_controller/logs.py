"""The controller's logs."""

import logging

from edgefleet_process.logs import LogFormat, send_logs_to_stderr

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logs(form: LogFormat) -> None:
    """Send every record to stderr under its logger's name."""
    send_logs_to_stderr(form, text=TEXT, fields={"logger": "%(name)s"})
    # uvicorn's info lines are for its developers; operators need only its warnings.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
