"""Distillation: a fresh, smaller network learns from the source model's soft labels."""

from edgefleet_compression import training
from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.models.states import SourceState, TorchState
from edgefleet_compression.networks.architectures import build
from edgefleet_compression.recipes.step_configs import DistillConfig
from edgefleet_compression.step import Context, StepResult


def distill(state: SourceState, config: DistillConfig, context: Context) -> StepResult:
    """Train a student of a built-in architecture, of the same inputs and classes (Hinton et al. 2015).

    The teacher is the source model, a module or the ONNX file that was brought: onnxruntime then answers for it.

    Raises:
        ArchitectureError: no such architecture, or not these arguments, or not for inputs of this shape.
        DataError: there is nothing to train on.
        NothingChanged: the student is no smaller than the model it is to replace.
    """
    source = context.source
    shape, classes = source.card.input.shape, source.classes
    module = build(config.architecture, config.args, shape, classes, context.seed)
    student = TorchState(config.architecture, config.args, shape, classes, module)
    if student.parameters() >= state.parameters():
        raise NothingChanged(
            f"distill: the student has {student.parameters():,} parameters, its teacher {state.parameters():,}: "
            "choose a narrower student"
        )
    learned = training.fit_whole(module, config, context)
    val = training.score(module, source)
    return StepResult(student, {**learned, "val": val, "parameters": student.parameters()})
