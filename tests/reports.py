"""A device's report with sane defaults, so that a test shows only what it is about."""

from typing import Any

from edgefleet_protocol.messages import Facts, ReportedState


def report_with(**fields: Any) -> ReportedState:
    """The report of a simulated board, with other fields where a test gives them."""
    facts = Facts(hardware="rpi4", region="eu", link="lte", arch="aarch64", cores=4, ram_mb=4096, simulated=True)
    given = {"incarnation": "0" * 32, "boot": 1, "report": 1, "agent_version": "0.1.0", "facts": facts}
    return ReportedState.model_validate({**given, **fields})
