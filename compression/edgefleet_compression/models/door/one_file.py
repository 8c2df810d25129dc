"""A model as its author keeps it becomes one file of tensors: what lies in other files is packed in, maps are undone.

It runs where the author's files are, before anything is sent: a controller opens no file beside the one that it was
given.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
from onnx import TensorProto, helper

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.graph import graphs, saved, tensors
from edgefleet_compression.onnx_graphs.names import read_instead
from edgefleet_compression.onnx_graphs.skim import needed_bytes, parsed, skim
from edgefleet_contract.uploads import MAX_ONNX_BYTES, TOO_LARGE

NAMES = "names"
"""The property of a model that holds the names of its classes, as exporters of detectors write it."""
CLASSES = ("classlabels_strings", "classlabels_int64s")


def in_one_file(path: Path, folder: Path) -> Path:
    """A model as one file of tensors: the file itself if it is one, else a new one in `folder`.

    Args:
        path: an ONNX file; weights of it may lie in other files of its folder.
        folder: where to write.

    Raises:
        GraphError: a file with weights is missing, too short, or outside the folder, or it is too much for one file.
    """
    if path.stat().st_size > MAX_ONNX_BYTES:
        raise GraphError(TOO_LARGE.format(size=path.stat().st_size))
    model = skim(path)
    outside, maps = list(_outside(model)), _maps(model.graph)
    if not outside and not maps:
        return path
    _fit_into_one(path, outside)
    model = parsed(path.read_bytes())
    for tensor in _outside(model):
        _bring_in(tensor, path.parent)
    for node in _maps(model.graph):
        _undo(model, node)
    return saved(model, folder / path.name)


def _outside(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """The tensors whose numbers lie in other files, of functions too."""
    for tensor in tensors(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            yield tensor
    for function in model.functions:
        for node in function.node:
            for attribute in node.attribute:
                given = [attribute.t] if attribute.HasField("t") else attribute.tensors
                inner = [attribute.g] if attribute.HasField("g") else attribute.graphs
                found = [*given, *(tensor for graph in inner for tensor in tensors(graph))]
                yield from (tensor for tensor in found if tensor.data_location == TensorProto.EXTERNAL)


def _fit_into_one(path: Path, outside: list[TensorProto]) -> None:
    """See that all is there and fits, before anything is read."""
    size = path.stat().st_size
    for tensor in outside:
        place = _place(tensor, path.parent)
        begin, end = _bounds(tensor)
        if (held := place.stat().st_size) < end:
            raise GraphError(
                f"'{place.name}' has {held:,} bytes, and the weight '{tensor.name}' is that up to byte {end:,}: copy "
                "the file again, as a whole"
            )
        size += end - begin
    if size > MAX_ONNX_BYTES:
        raise GraphError(TOO_LARGE.format(size=size))


def _place(tensor: TensorProto, folder: Path) -> Path:
    """The file that holds a tensor.

    Raises:
        GraphError: there is none, or it lies elsewhere than in the model's folder.
    """
    location = _told(tensor).get("location", "")
    pure = PurePosixPath(location.replace("\\", "/"))
    place = folder / pure
    within = folder.resolve()
    if not location or pure.is_absolute() or not place.resolve().is_relative_to(within):
        raise GraphError(f"the weight '{tensor.name}' lies in '{location}', outside the model's folder: put it there")
    if not place.is_file():
        raise GraphError(f"'{location}' with the weight '{tensor.name}' is missing: put it beside the model")
    return place


def _bounds(tensor: TensorProto) -> tuple[int, int]:
    """Where a tensor begins and ends in its file."""
    told, needed = _told(tensor), needed_bytes(tensor)
    try:
        begin, length = int(told.get("offset", 0)), int(told.get("length", needed))
    except ValueError:
        begin, length = -1, -1
    if begin < 0 or length != needed:
        raise GraphError(
            f"the weight '{tensor.name}' needs {needed:,} bytes, and the model says otherwise of the file that it lies "
            "in: export it again"
        )
    return begin, begin + length


def _told(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _bring_in(tensor: TensorProto, folder: Path) -> None:
    begin, end = _bounds(tensor)
    with _place(tensor, folder).open("rb") as file:
        file.seek(begin)
        tensor.raw_data = file.read(end - begin)
    tensor.ClearField("data_location")
    del tensor.external_data[:]


def _maps(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that give an output as a list of maps, from each class to its probability."""
    given = {value.name for value in graph.output}
    return [
        node
        for node in graph.node
        if (node.op_type, node.domain) == ("ZipMap", "ai.onnx.ml") and node.output[0] in given
    ]


def _undo(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Give the tensor of a map's probabilities as the output instead; the names of the classes become a property."""
    graph, given, name = model.graph, node.input[0], node.output[0]
    classes = [
        value.decode() if isinstance(value, bytes) else value
        for attribute in node.attribute
        if attribute.name in CLASSES
        for value in helper.get_attribute_value(attribute)
    ]
    graph.node.remove(node)
    if any(given == value.name for value in graph.output):  # it is an output already
        graph.output.remove(next(value for value in graph.output if value.name == name))
    else:
        for one in graphs(graph):
            for each in one.node:
                each.output[:] = [name if output == given else output for output in each.output]
        read_instead(graph, {given: name})
        place = next(value for value in graph.output if value.name == name)
        place.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, len(classes) or None]))
    if classes and classes != list(range(len(classes))) and not any(one.key == NAMES for one in model.metadata_props):
        model.metadata_props.add(key=NAMES, value=repr({place: str(one) for place, one in enumerate(classes)}))
