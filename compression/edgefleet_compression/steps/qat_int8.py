"""Quantization-aware training for static int8: train with the rounding of the device class."""

from typing import TYPE_CHECKING

from edgefleet_compression.step import (
    MODULE,
    TRAINING,
    Context,
    NotSearched,
    Step,
    StepError,
    StepResult,
    TorchState,
    TrainConfig,
    copied,
)
from edgefleet_compression.step_settings import Epochs, Rate

if TYPE_CHECKING:
    import torch

    from edgefleet_compression.networks.rounding import Watched

FULL, REDUCED = 127, 64
"""The largest integer of a weight; 64 where `reduce_range` keeps products from saturating."""
LOOKED_AT = 256


class QatInt8Config(TrainConfig):
    """Finetune with weights and activations rounded as static int8 will round them, by the class's scheme.

    `per_channel` must be that of the `static_int8` that follows; a recipe where it is not is refused.
    """

    per_channel: bool = True
    epochs: Epochs = 1
    rate: Rate = 5e-4


STEP = Step(
    name="qat_int8",
    config=QatInt8Config,
    consumes=MODULE,
    produces="torch",
    technique="qat",
    search=NotSearched("it trains anew for each instruction set and gains less than half a point over static int8"),
    needs=TRAINING | {"calib", "scheme"},
    trains=True,
    revision=2,
)


def run(state: TorchState, config: QatInt8Config, context: Context) -> StepResult:
    """Finetune with rounded weights and activations and a straight-through gradient (Jacob et al. 2018).

    Norms are folded into the convolutions before them first, as in the file. Weights are left on their grid. Ranges of
    activations follow the first half of the batches; `export` hands them on, and `static_int8` uses them instead
    of its own.

    Raises:
        StepError: the instruction set has no scheme, the network cannot be traced, or training diverged.
    """
    from edgefleet_compression import training
    from edgefleet_compression.networks.batches import trained_parts
    from edgefleet_compression.networks.layers import Levels, leave_on, put_on, weighted
    from edgefleet_compression.networks.rounding import Watched, fold, traced, with_points

    if context.scheme is None:
        raise StepError("qat_int8: this instruction set has no int8 scheme: use a recipe with storage_quant")
    source, trained, scheme = context.source, copied(state), context.scheme
    corpus = training.corpus(source, config)
    parts = trained_parts(trained.module, corpus.inputs(slice(1)), config.batch)
    watching = parts * config.epochs * max(1, len(corpus.x) // config.batch) // 2
    points: dict[str, Watched] = {}

    def watched(name: str) -> Watched:
        points[name] = Watched(scheme.activation, watching)
        return points[name]

    graph = traced(trained.module)
    with_points(graph, watched, fold(graph))
    most = REDUCED if scheme.reduce_range else FULL
    grids = {name: Levels(most, config.per_channel) for name, _ in weighted(trained.module)}
    put_on(trained.module, grids)
    _look(graph, points, context)
    before = training.score(graph, source)
    learned = training.fit(graph, graph.parameters(), corpus, config, context.seed, context.progress)
    leave_on(trained.module)
    ranges = {name: (float(point.low), float(point.high)) for name, point in points.items()}
    log = {**learned, "val_before": before, "val": training.score(graph, source), "activations": len(ranges)}
    trained.module.eval()
    return StepResult(trained.with_ranges(ranges), {**log, "parameters": trained.parameters()})


def _look(graph: "torch.nn.Module", points: "dict[str, Watched]", context: Context) -> None:
    """Start every range with what calib shows."""
    import torch

    from edgefleet_compression.networks.batches import answers_of
    from edgefleet_compression.onnx_graphs.session import inputs

    x = context.source.data.read("calib").arrays.first(LOOKED_AT).x
    graph.eval()
    answers_of(graph, torch.from_numpy(inputs(x, context.source.scale)))
    for point in points.values():
        point.looking = False
