"""Clean-up: a file that was brought becomes like one of our own exports, with the same answers."""

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import version_converter

from edgefleet_compression.errors import StepError, is_full_disk
from edgefleet_compression.models.door.brought import load_brought
from edgefleet_compression.models.states import BroughtState, OnnxState
from edgefleet_compression.onnx_graphs.answers import largest_difference
from edgefleet_compression.onnx_graphs.batches import LARGE_FILE_BYTES
from edgefleet_compression.onnx_graphs.domains import foreign_nodes, keep_used_imports, operator_of, opset_of
from edgefleet_compression.onnx_graphs.folding import folded
from edgefleet_compression.onnx_graphs.graph import parameters, saved
from edgefleet_compression.onnx_graphs.plain_biases import plain_biases
from edgefleet_compression.onnx_graphs.session import Answered, GraphSession
from edgefleet_compression.onnx_graphs.skim import skim, with_ir_version
from edgefleet_compression.onnx_graphs.stripping import strip
from edgefleet_compression.step import Context, StepResult
from edgefleet_protocol.runtime_versions import ir_of

PARITY_SAMPLES = 64
MOST_CLEANED_BYTES = LARGE_FILE_BYTES
PASSED_ON = "passed on as it is"

Way = Callable[[onnx.ModelProto, int, Path], onnx.ModelProto]


def clean(state: BroughtState, opset: int, tolerance: float, context: Context) -> StepResult:
    """Fold constants and norms, raise the opset, and strip; less of that if the tools fail or answers change.

    Raises:
        GraphError: the source's answers are not finite.
        StepError: not even the file as it is passes; with the reason.
    """
    path = context.folder / "cleaned.onnx"
    expected = context.source.answered("val", PARITY_SAMPLES)
    if state.path.stat().st_size > MOST_CLEANED_BYTES:
        return _passed_on(state, path, expected, context, tolerance)
    left_out = []
    for name, way in WAYS.items():
        context.progress(0.1, name)
        try:
            model = way(_plain(load_brought(state.path)), opset, context.folder)
            plain_biases(model.graph)
            strip(model)
            onnx.checker.check_model(model, full_check=True)
            saved(model, path)
            difference = _difference(path, expected, context, tolerance)
        except Exception as error:  # what these tools raise on a foreign graph has no common root
            if is_full_disk(error):
                raise
            left_out.append(f"{name}: {' '.join(str(error).split())[:300]}")
            continue
        log = {"cleaned": name, "left_out": left_out, "largest_difference": difference, "opset": opset_of(model)}
        return StepResult(
            OnnxState(path), {**log, "parameters": parameters(model.graph), "file_bytes": path.stat().st_size}
        )
    raise StepError(f"export: the file cannot be rewritten ({left_out[-1]}): deliver it by the recipe as-brought")


def _passed_on(state: BroughtState, path: Path, expected: Answered, context: Context, tolerance: float) -> StepResult:
    """The file as it is, but for the IR version, a megabyte at a time."""
    context.progress(0.1, PASSED_ON)
    model = skim(state.path)
    with_ir_version(state.path, path, ir_of(opset_of(model)))
    log = {
        "cleaned": PASSED_ON,
        "left_out": [f"clean-up: it takes seven times the file's {state.path.stat().st_size:,} bytes in memory"],
        "largest_difference": _difference(path, expected, context, tolerance),
        "opset": opset_of(model),
    }
    return StepResult(OnnxState(path), {**log, "parameters": state.parameters(), "file_bytes": path.stat().st_size})


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove weights from the inputs: files before IR version 4 list them there, so that nothing could be folded."""
    weights = {tensor.name for tensor in model.graph.initializer}
    given = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(given)
    model.ir_version = ir_of(opset_of(model))
    return model


def _folded(model: onnx.ModelProto, opset: int, folder: Path) -> onnx.ModelProto:
    """The graph as a session runs it, written for any session."""
    made = folded(model, folder / "folded.onnx")
    given = {operator_of(node) for node in foreign_nodes(model.graph)}
    if any(operator_of(node) not in given for node in foreign_nodes(made.graph)):
        raise StepError("onnxruntime put operators of its own into the graph")
    keep_used_imports(made)
    made.ir_version = ir_of(opset_of(made))
    return made


def _modern(model: onnx.ModelProto, opset: int, folder: Path) -> onnx.ModelProto:
    """The folded graph in `opset`: 8-bit scales for each channel need 13, 4-bit weights 21."""
    made = _folded(model, opset, folder)
    if opset_of(made) < opset:
        made = version_converter.convert_version(made, opset)
        made.ir_version = ir_of(opset)
    return made


WAYS: dict[str, Way] = {
    "folded, opset raised": _modern,
    "folded": _folded,
    "as it is": lambda model, opset, folder: model,
}


def _difference(path: Path, expected: Answered, context: Context, tolerance: float) -> float:
    """The largest difference of a number from the source's over samples of val, by the largest above 1."""
    found = GraphSession(path).answered(context.source.asked("val", PARITY_SAMPLES))
    difference = largest_difference(expected, found)
    if not difference <= tolerance:
        raise StepError(f"a number differs from the brought file's by {difference:.2g}, and {tolerance:.2g} is allowed")
    return difference
