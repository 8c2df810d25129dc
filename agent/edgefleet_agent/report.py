"""The models' part of a report. No I/O."""

from collections.abc import Mapping

from edgefleet_agent.installation import Installation
from edgefleet_protocol.messages import ReportedModel
from edgefleet_protocol.phases import OUTSIDE_WINDOW


def report_models(installations: Mapping[str, Installation]) -> dict[str, ReportedModel]:
    """The report of every model: what answers now, what is on disk, and the last attempt."""
    return {name: shown for name, one in installations.items() if (shown := _model(one))}


def _model(installation: Installation) -> ReportedModel | None:
    record = installation.record
    if record is None:
        return None
    live = installation.answering.live
    attempt = record.attempt
    if transfer := installation.transfer:
        attempt = attempt.model_copy(update={"transfer": transfer})
    if act := installation.waits_for:
        waits = {"reason": OUTSIDE_WINDOW, "detail": f"waits until its region's window to {act} opens"}
        attempt = attempt.model_copy(update=waits)
    return ReportedModel(
        generation=record.desired.generation,
        answering=live.slot if live else None,
        committed=record.slots.get(record.answering) if record.answering else None,
        slots=tuple(record.slots.values()),
        attempt=attempt,
        lost=record.lost,
    )
