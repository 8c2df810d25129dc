"""Questions to a telemetry store, in one line."""

from typing import Any

from edgefleet_contract.telemetry import GroupBy
from edgefleet_controller.records import Evidence
from edgefleet_controller.store import TelemetryStore
from edgefleet_controller.store.contract.aggregates import Aggregate, Question
from edgefleet_controller.store.contract.evidence import Compared


def aggregated(
    telemetry: TelemetryStore, group_by: tuple[GroupBy, ...] = ("variant",), **asked: Any
) -> list[Aggregate]:
    """Windows and roll-ups merged by the given columns; see `Question` for what else can be asked."""
    return telemetry.aggregates.answer(Question(group_by=group_by, **asked))


def evidence(telemetry: TelemetryStore, model: str, compared: dict[str, Compared], since_ms: int) -> list[Evidence]:
    """Evidence for each profile, read once."""
    return telemetry.evidence.gather(model, since_ms).of(compared)
