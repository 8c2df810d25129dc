"""Export: the source becomes an ONNX file with the same answers, and nothing that a device doesn't need."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgefleet_compression.search_roles import PLAIN
from edgefleet_compression.step import (
    SOURCE,
    BroughtState,
    Context,
    OnnxState,
    Searched,
    SourceState,
    Step,
    StepConfig,
    StepError,
    StepResult,
    TorchState,
)
from edgefleet_protocol.spec import PROBABILITIES

if TYPE_CHECKING:
    import onnx
    import torch

INPUT, OUTPUT = "taken", "given"
"""Between tracing and taking the source's own names."""
PARITY_SAMPLES = 64


class ExportConfig(StepConfig):
    """Export to ONNX, or clean the file that was brought; `tolerance` bounds a logit's difference from the source's."""

    opset: Annotated[int, Field(ge=18, le=23)] = 21
    tolerance: Annotated[float, Field(gt=0)] = 1e-3


STEP = Step(
    name="export",
    config=ExportConfig,
    consumes=SOURCE,
    produces="onnx",
    technique=None,
    search=Searched(tails=(PLAIN,)),
    needs=frozenset({"val"}),
    libraries=frozenset({"onnxscript", "onnxruntime"}),
    revision=5,
)


def run(state: SourceState, config: ExportConfig, context: Context) -> StepResult:
    """Write a module as ONNX with the source's signature, or clean the file that was brought; compare the answers.

    Raises:
        StepError: they differ by more than the tolerance.
    """
    import onnx

    from edgefleet_compression.cleaning import clean
    from edgefleet_compression.onnx_graphs.ranges import take_out
    from edgefleet_compression.onnx_graphs.signing import take_signature
    from edgefleet_compression.onnx_graphs.stripping import strip

    if isinstance(state, BroughtState):
        return clean(state, config.opset, config.tolerance, context)
    path = context.folder / "exported.onnx"
    signature = context.source.signature
    context.progress(0.1, "tracing")
    model = _traced(_answering(state, context), state.input_shape, config.opset)
    take_signature(model.graph, signature)
    strip(model)
    take_out(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    difference = check_parity(state, path, context, config.tolerance)
    log = {"largest_difference": difference, "opset": config.opset, "parameters": state.parameters()}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})


def _answering(state: TorchState, context: Context, marks: bool = True) -> "torch.nn.Module":
    """The module with answers of the kind that the source gives: modules are trained to give logits."""
    import torch

    module = _marked(state) if state.ranges and marks else state.module.eval()
    gives_logits = context.source.spec.outputs != PROBABILITIES
    return module if gives_logits else torch.nn.Sequential(module, torch.nn.Softmax(1)).eval()


def _traced(module: "torch.nn.Module", shape: tuple[int, ...], opset: int) -> "onnx.ModelProto":
    import torch

    # Two samples: a batch of one would be taken for a constant.
    sample = torch.zeros(2, *shape)
    with _quiet():
        program = torch.onnx.export(
            module,
            (sample,),
            dynamo=True,
            external_data=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=opset,
            verbose=False,
        )
    if program is None:
        raise StepError("export: torch returned no program: report this with the installed versions")
    return program.model_proto


def _marked(state: TorchState) -> "torch.nn.Module":
    """The module with a mark for the exporter where each range belongs."""
    import torch

    from edgefleet_compression.networks.rounding import Mark, traced, with_points

    graph = traced(state.module.eval())
    return with_points(graph, lambda name: Mark(state.ranges[name]) if name in state.ranges else torch.nn.Identity())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's prints and its own libraries' deprecations from a worker's output."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def check_parity(state: TorchState, path: Path, context: Context, tolerance: float) -> float:
    """The largest difference of an answer between file and module, over samples of val.

    Raises:
        StepError: it is above `tolerance`.
    """
    import numpy as np
    import torch

    from edgefleet_compression.networks.batches import answers_of
    from edgefleet_compression.onnx_graphs.session import GraphSession, inputs

    source = context.source
    x = inputs(source.data.read("val").arrays.x[:PARITY_SAMPLES], source.scale)
    expected = answers_of(_answering(state, context, marks=False), torch.from_numpy(x)).numpy()
    difference = float(np.abs(GraphSession(path).logits(x) - expected).max())
    if not difference <= tolerance:
        raise StepError(
            f"export: a logit of the file differs from the module's by {difference:.2g}, and {tolerance:.2g} "
            "is allowed: raise the tolerance if that is good enough, else report it"
        )
    return difference
