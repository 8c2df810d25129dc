"""The agent's logs."""

import logging

from edgefleet_process.logs import LogFormat, send_logs_to_stderr


def set_up_logs(device: str, form: LogFormat, verbose: bool) -> None:
    """Send every record to stderr under the device's name; `verbose` adds every packet."""
    send_logs_to_stderr(
        form,
        text=f"%(asctime)s {device} %(levelname)s %(message)s",
        fields={"device": device},
        level=logging.DEBUG if verbose else logging.INFO,
    )
    logging.getLogger("edgefleet.agent.bus.packets").setLevel(logging.DEBUG if verbose else logging.WARNING)
