"""What an ONNX file that a user brings must be before anything is made of it.

It is untrusted data: no file beside it is opened, only operators that onnxruntime itself has are accepted, and what a
device could not run is refused here, in one line.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime
from onnx import TensorProto, inliner, numpy_helper

from edgefleet_compression.errors import GraphError
from edgefleet_compression.models.door.faults import Faults
from edgefleet_compression.onnx_graphs.domains import foreign_nodes, operator_of, opset_of
from edgefleet_compression.onnx_graphs.graph import nodes, parameters, tensors
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.onnx_graphs.runtime import OWN_LAYOUTS, is_built_in, newest_opset
from edgefleet_compression.onnx_graphs.skim import is_skipped, parsed, skim
from edgefleet_contract.uploads import MAX_ONNX_BYTES, TOO_LARGE

MAX_NODES = 20_000
MAX_NAMED = 3


@dataclass(frozen=True)
class Graph:
    """What a checked file is."""

    opset: int
    parameters: int


def load_brought(path: Path) -> onnx.ModelProto:
    """The model of a file, with functions of its own put in the place of their calls; no other file is read.

    Raises:
        GraphError: it is too large, or no ONNX file.
    """
    return _one_graph(parsed(path.read_bytes()))


def skim_brought(path: Path) -> onnx.ModelProto:
    """As `load_brought`, with placeholders for the bytes of large weights: it takes little memory.

    Raises:
        GraphError: it is too large, or no ONNX file.
    """
    if (size := path.stat().st_size) > MAX_ONNX_BYTES:
        raise GraphError(TOO_LARGE.format(size=size))
    return _one_graph(skim(path))


def _one_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    if not model.graph.node:
        raise GraphError("this is not an ONNX file, or an empty one: export the model as ONNX")
    for holder in (model.graph, *model.functions):
        _is_whole(tensors(holder) if isinstance(holder, onnx.GraphProto) else _constants(holder))
    if model.functions:
        try:
            model = inliner.inline_local_functions(model)
        except Exception as error:  # a binding's own types
            raise GraphError(f"its local functions cannot be inlined ({_first_line(error)}): export without") from None
    return model


def check_graph(path: Path) -> Graph:
    """Check a file without running it.

    Raises:
        GraphError: one line that says all that is wrong and what to do.
    """
    model = skim_brought(path)
    graph, faults = model.graph, Faults()
    for look in (_is_small, _is_standard, _is_known):
        faults.check(look, model)
    if not faults:  # it would say the same in other words
        faults.check(_is_sound, model)
    faults.check(_is_readable, graph)
    faults.refuse()
    return Graph(opset_of(model), parameters(graph))


def open_graph(path: Path) -> ModelSession:
    """Load a file that `check_graph` has passed.

    Raises:
        GraphError: onnxruntime cannot load it, or an input or output is of a type that nothing can send.
    """
    try:
        return ModelSession(path)
    except GraphError:
        raise
    except Exception as error:  # a binding's own types
        raise GraphError(f"onnxruntime cannot run the file ({_first_line(error)}): export it again") from None


def _is_small(model: onnx.ModelProto) -> None:
    if (found := sum(1 for _ in nodes(model.graph))) > MAX_NODES:
        raise GraphError(f"the graph holds {found:,} nodes: at most {MAX_NODES:,} are accepted")


def _is_standard(model: onnx.ModelProto) -> None:
    foreign = foreign_nodes(model.graph)
    if fixed := sorted({operator_of(node) for node in foreign if node.domain in OWN_LAYOUTS}):
        raise GraphError(
            f"onnxruntime has optimized the graph for one kind of processor ({_first(fixed)}): give the file as it was "
            "before"
        )
    if custom := sorted({operator_of(node) for node in foreign if not is_built_in(node)}):
        raise GraphError(
            f"the graph uses operators that onnxruntime does not have ({_first(custom)}), and a library that has them "
            "would be somebody's code on every device: export the model without them"
        )


def _is_known(model: onnx.ModelProto) -> None:
    if (asked := opset_of(model)) > (newest := newest_opset()):
        raise GraphError(
            f"the file needs opset {asked}, and onnxruntime {onnxruntime.__version__} here reads up to {newest}: "
            "export it with that"
        )


def _is_sound(model: onnx.ModelProto) -> None:
    # The checker compares sizes, which `skim` has done for the weights that it passed over.
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    for tensor in filter(is_skipped, tensors(checked.graph)):
        tensor.ClearField("raw_data")
        tensor.ClearField("dims")
        tensor.dims.append(0)
    try:
        onnx.checker.check_model(checked)
    except Exception as error:  # a binding's own types
        raise GraphError(f"onnx.checker refuses the file ({_first_line(error)}): export it again") from None


def _constants(function: onnx.FunctionProto) -> list[TensorProto]:
    holder = onnx.GraphProto()
    holder.node.extend(function.node)
    return list(tensors(holder))


def _is_whole(found: Iterable[TensorProto]) -> None:
    for tensor in found:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise GraphError(
                f"the weight '{tensor.name}' lies in another file: register it by `edgefleet model add FILE.onnx`, "
                "which packs all into one, or save it as one file"
            )


def _is_readable(graph: onnx.GraphProto) -> None:
    for tensor in tensors(graph):
        if is_skipped(tensor):
            continue
        try:
            numpy_helper.to_array(tensor)
        except Exception as error:  # sizes that contradict each other, in a dozen types
            raise GraphError(
                f"the weight '{tensor.name}' cannot be read ({_first_line(error)}): export it again"
            ) from None


def _first(operators: Sequence[str]) -> str:
    return ", ".join([*operators[:MAX_NAMED], *(["..."] if len(operators) > MAX_NAMED else [])])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
