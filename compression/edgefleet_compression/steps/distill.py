"""Distillation: a fresh, smaller network learns from the source model's soft labels."""

from pydantic import Field

from edgefleet_compression.search_roles import ALPHA, RATE, WEIGHT_DECAY
from edgefleet_compression.step import (
    SOURCE,
    TRAINING,
    Context,
    NothingChanged,
    Searched,
    SourceState,
    Step,
    StepResult,
    TorchState,
    TrainConfig,
    Trunk,
    step,
)


class DistillConfig(TrainConfig):
    """Train a fresh student, a built-in architecture, by the source model's soft labels."""

    architecture: str = "ds_cnn"
    args: dict[str, int | str] = Field(default_factory=dict)


def student_trunk(width: int, depth: int, rank: float = 0.0) -> Trunk:
    """A distilled depthwise-separable student, with its rank among the trunks."""
    args = {"width": width, "depth": depth}
    return Trunk(
        f"ds{width}x{depth}",
        f"a distilled student {width} wide and {depth} deep",
        (step("distill", args=args, rate=RATE, weight_decay=WEIGHT_DECAY, alpha=ALPHA),),
        "student",
        rank=rank,
    )


STEP = Step(
    name="distill",
    config=DistillConfig,
    consumes=SOURCE,
    produces="torch",
    technique="distill",
    search=Searched(
        trunks=(
            student_trunk(24, 2, rank=0),
            student_trunk(48, 2, rank=2),
            student_trunk(24, 1, rank=3),
            student_trunk(16, 2, rank=4),
        )
    ),
    needs=TRAINING,
    trains=True,
    revision=3,
)


def run(state: SourceState, config: DistillConfig, context: Context) -> StepResult:
    """Train a student of a built-in architecture, of the same inputs and classes (Hinton et al. 2015).

    The teacher is the source model: a module, or the ONNX file that was brought, run by onnxruntime.

    Raises:
        ArchitectureError: no such architecture, or not these arguments, or not for inputs of this shape.
        DataError: there is nothing to train on.
        NothingChanged: the student is not smaller than the model that it replaces.
    """
    from edgefleet_compression import training
    from edgefleet_compression.networks.architectures import build

    source = context.source
    shape, classes = source.sample_shape, source.classes
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
