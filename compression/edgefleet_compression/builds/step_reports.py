"""What is computed with of the reports that steps make."""

from pydantic import BaseModel, ConfigDict

from edgefleet_contract.variants import StepReport


class StepFigures(BaseModel):
    """The part of a step's log that is computed with; None where the step has no such figure.

    `took_s` is the step's own time, whether it ran now or before; `losses` and `epoch_s` (seconds of one epoch) are of
    steps that train.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    took_s: float | None = None
    parameters: int | None = None
    losses: tuple[float, ...] | None = None
    epoch_s: float | None = None


def figures_of(report: StepReport) -> StepFigures:
    """A step's log as far as it is computed with."""
    return StepFigures.model_validate(report.log)
