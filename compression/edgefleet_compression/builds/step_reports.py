"""What is said of each step of a build, and kept with the variant that it made."""

from pydantic import BaseModel, ConfigDict, JsonValue


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


class StepReport(BaseModel):
    """What one step did; `seconds` are those of this run, next to none where it was cached.

    `log` is what the step says of itself, in keys of its own. `revision` is the step's when it ran, `digest` that of
    the state that it made; None for variants that were built before these were kept.
    """

    model_config = ConfigDict(frozen=True)

    step: str
    config: dict[str, JsonValue]
    cached: bool
    seconds: float
    log: dict[str, JsonValue]
    revision: int | None = None
    digest: str | None = None


def figures_of(report: StepReport) -> StepFigures:
    """A step's log as far as it is computed with."""
    return StepFigures.model_validate(report.log)
