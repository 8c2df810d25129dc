"""The figures in a step's log that the program computes with."""

from pydantic import BaseModel, ConfigDict

from edgefleet_contract.variants import StepReport


class StepFigures(BaseModel):
    """Figures from a step's log; None if the step has no such figure.

    `took_s` is how long the step ran, now or when it was cached. Steps that train have `losses`, and `epoch_s`, the
    seconds of one epoch.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    took_s: float | None = None
    parameters: int | None = None
    losses: tuple[float, ...] | None = None
    epoch_s: float | None = None


def figures_of(report: StepReport) -> StepFigures:
    """Read the figures from a step's log."""
    return StepFigures.model_validate(report.log)
