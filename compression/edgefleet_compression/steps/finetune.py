"""Finetuning: a changed model learns its task again, from labels and from the source model."""

from edgefleet_compression import training
from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.models.states import TorchState, copied
from edgefleet_compression.recipes.step_configs import FinetuneConfig
from edgefleet_compression.step import Context, StepResult


def finetune(state: TorchState, config: FinetuneConfig, context: Context) -> StepResult:
    """Train the model on the train split; its accuracy on val is logged before and after.

    Raises:
        NothingChanged: training left every weight as it was.
    """
    source, tuned = context.source, copied(state)
    before = training.score(tuned.module, source)
    learned = training.fit_whole(tuned.module, config, context)
    if tuned.digest() == state.digest():
        raise NothingChanged("finetune left every weight as it was: raise rate or epochs, or drop the step")
    after = training.score(tuned.module, source)
    log = {**learned, "val_before": before, "val": after, "parameters": tuned.parameters()}
    return StepResult(tuned, log)
