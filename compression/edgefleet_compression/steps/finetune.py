"""Finetuning: a changed model learns its task again, from labels and the source model."""

from edgefleet_compression.step import (
    MODULE,
    TRAINING,
    Context,
    NothingChanged,
    Searched,
    Step,
    StepResult,
    TorchState,
    TrainConfig,
    copied,
)


class FinetuneConfig(TrainConfig):
    """Train the model that the step was given."""


STEP = Step(
    name="finetune",
    config=FinetuneConfig,
    consumes=MODULE,
    produces="torch",
    technique="finetune",
    search=Searched(),
    needs=TRAINING,
    trains=True,
    revision=2,
)


def run(state: TorchState, config: FinetuneConfig, context: Context) -> StepResult:
    """Train the model on the train split; its accuracy on val is logged before and after.

    Raises:
        NothingChanged: training left every weight as it was.
    """
    from edgefleet_compression import training

    source, tuned = context.source, copied(state)
    before = training.score(tuned.module, source)
    learned = training.fit_whole(tuned.module, config, context)
    if tuned.digest() == state.digest():
        raise NothingChanged("finetune left every weight as it was: raise rate or epochs, or drop the step")
    after = training.score(tuned.module, source)
    log = {**learned, "val_before": before, "val": after, "parameters": tuned.parameters()}
    return StepResult(tuned, log)
