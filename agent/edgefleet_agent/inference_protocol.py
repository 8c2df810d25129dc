"""The Open Inference Protocol, version 2: from requests to tensors, and from answers to replies. No I/O.

JSON, and the extensions for binary tensors and classes that Triton's clients use
(github.com/triton-inference-server/server, docs/protocol). A parameter that we do not obey is refused.
"""

import math
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from edgefleet_agent.classes import best_classes
from edgefleet_agent.errors import RequestError
from edgefleet_agent.sequences import PARAMETERS, SequenceStep, step_of
from edgefleet_agent.signatures import ANY, shown_shape
from edgefleet_agent.worker_handle import WorkerAnswer
from edgefleet_protocol.datatypes import BY_NAME, BYTES, pack_texts, size_of, texts_in
from edgefleet_protocol.signature import Signature, Tensor

REQUEST_KEYS = frozenset({"id", "parameters", "inputs", "outputs"})
INPUT_KEYS = frozenset({"name", "shape", "datatype", "parameters", "data"})
OUTPUT_KEYS = frozenset({"name", "parameters"})
MAX_ID = 200
MAX_LISTS = 500_000
"""Lists and objects in a request: an empty one takes three bytes on the wire and seventy in memory."""
FLOAT_CODES = "fd"
MAX_VALUES = 2**31
"""More than any body may hold; what a shape multiplies to has no bound of its own."""


@dataclass(frozen=True)
class WantedOutput:
    """How the client wants an output: as raw bytes or as JSON; as so many best classes unless `classes` is 0."""

    binary: bool
    classes: int = 0


@dataclass(frozen=True)
class InferenceRequest:
    """A request for the worker, how many samples it has, the outputs that the client wants, by name, and its step."""

    id: str | None
    tensors: list[dict[str, Any]]
    data: bytes
    rows: int
    outputs: dict[str, WantedOutput]
    step: SequenceStep | None = None


def parse(body: bytes, header_length: int | None, signature: Signature, has_state: bool = False) -> InferenceRequest:
    """Parse an inference request and check it against the model's inputs.

    Args:
        body: the HTTP body.
        header_length: how many of its bytes are JSON, when raw tensors follow; None for only JSON.
        signature: what the model takes and gives.
        has_state: whether it is asked step by step.

    Raises:
        RequestError: 400, with what is wrong and what is expected.
    """
    split = len(body) if header_length is None else header_length
    if not 0 <= split <= len(body):
        raise RequestError(400, "Inference-Header-Content-Length is larger than the body")
    head = _object(body[:split])
    _refuse_unknown(head, "the request", REQUEST_KEYS)
    parameters = _parameters(head, "the request", ("binary_data_output", *PARAMETERS))
    step = step_of(parameters, has_state)
    listed = _tensors(head, "inputs")
    given = {tensor["name"]: tensor for tensor in listed}
    if len(given) < len(listed):
        raise RequestError(400, f"an input is there twice: give each of {sorted(given)} once")
    if not given:
        raise RequestError(400, "the request has no inputs")
    expected = {tensor.name for tensor in signature.inputs}
    if given.keys() != expected:
        raise RequestError(400, f"the inputs are {sorted(given)}, expected {sorted(expected)}")
    raw = _raw_parts(listed, memoryview(body)[split:])
    tensors, parts, shapes = [], [], []
    for tensor in signature.inputs:
        shape, data = _tensor(given[tensor.name], tensor, raw.get(tensor.name))
        tensors.append({"name": tensor.name, "datatype": tensor.datatype, "shape": shape})
        parts.append(data)
        shapes.append(shape)
    rows = _rows(signature, shapes)
    wanted = _wanted(head, signature.outputs, _flag(parameters, "binary_data_output", False))
    return InferenceRequest(_id(head), tensors, b"".join(parts), rows, wanted, step)


def _rows(signature: Signature, shapes: Sequence[Sequence[int]]) -> int:
    """How many samples a request has: inputs with a batch of any size have as many each."""
    batched = [(one, shape) for one, shape in zip(signature.inputs, shapes, strict=True) if one.batched]
    # A batch of 1 by the model's own words may be no batch, but one of its sizes.
    counts = {
        one.name: shape[one.batch_axis] for one, shape in batched if not isinstance(one.shape[one.batch_axis], int)
    }
    if len(set(counts.values())) > 1:
        told = ", ".join(f"'{name[:60]}' {count}" for name, count in counts.items())
        raise RequestError(400, f"every input must have as many samples, and there are {told[:400]}")
    return next((shape[one.batch_axis] for one, shape in batched), 1)


def reply(
    answer: WorkerAnswer, request: InferenceRequest, about: dict[str, Any], labels: Sequence[str]
) -> tuple[bytes, int | None]:
    """The HTTP body of an answer, and how many of its bytes are JSON when raw tensors follow.

    Args:
        answer: the model's answer.
        request: the request.
        about: the reply's model_name, model_version, id and parameters.
        labels: the labels of the first output's classes; may be empty.

    Raises:
        RequestError: 400: an output that the task does not read has NaN or infinity, and JSON was asked for.
    """
    shown, raw, at = [], [], 0
    for index, (output, size) in enumerate(zip(answer.outputs, answer.sizes, strict=True)):
        data, at = answer.data[at : at + size], at + size
        wanted = request.outputs.get(output["name"])
        if wanted is None:
            continue
        told, as_raw = _shown(output, data, wanted, labels if index == 0 else ())
        shown.append(told)
        raw.append(as_raw)
    head = to_json(about | {"outputs": shown})
    any_raw = any(as_raw is not None for as_raw in raw)
    return head + b"".join(filter(None, raw)), len(head) if any_raw else None


def _shown(
    output: dict[str, Any], data: bytes, wanted: WantedOutput, labels: Sequence[str]
) -> tuple[dict[str, Any], bytes | None]:
    """An output as the reply's JSON tells it, and its raw bytes if they follow."""
    if wanted.classes:
        try:
            shape, strings = best_classes(output, data, wanted.classes, labels)
        except ValueError as error:
            raise RequestError(400, f"output '{output['name'][:60]}' {error}") from None
        output = output | {"datatype": BYTES, "shape": shape}
        if not wanted.binary:
            return output | {"data": strings}, None
        data = pack_texts(string.encode() for string in strings)
    elif not wanted.binary and output["datatype"] == BYTES:
        return output | {"data": [text.decode() for text in texts_in(data, math.prod(output["shape"]))]}, None
    elif not wanted.binary and (code := BY_NAME[output["datatype"]].from_json):
        values = _from_little_endian(code, data)
        if code in FLOAT_CODES and not math.isfinite(sum(values)) and not all(map(math.isfinite, values)):
            raise RequestError(
                400,
                f"output '{output['name'][:60]}' has NaN or infinity, which JSON cannot say: ask for it as binary "
                "data, or name in 'outputs' only what you read",
            )
        return output | {"data": values.tolist()}, None
    return output | {"parameters": {"binary_data_size": len(data)}}, data


def _object(text: bytes) -> dict[str, Any]:
    if text.count(b"[") + text.count(b"{") > MAX_LISTS:
        raise RequestError(400, f"the request has more than {MAX_LISTS:,} lists: send the values as one flat list")
    try:
        value = from_json(text, cache_strings="keys")
    except ValueError as error:
        raise RequestError(400, f"the request is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise RequestError(400, "the request is not a JSON object")
    return value


def _tensors(head: dict[str, Any], key: str) -> list[dict[str, Any]]:
    tensors = head.get(key, [])
    if not isinstance(tensors, list) or not all(
        isinstance(t, dict) and isinstance(t.get("name"), str) for t in tensors
    ):
        raise RequestError(400, f"'{key}' must be a list of objects with a name")
    return tensors


def _id(head: dict[str, Any]) -> str | None:
    given = head.get("id")
    if given is None or given == "":
        return None
    if not isinstance(given, str) or len(given) > MAX_ID:
        raise RequestError(400, f"'id' must be a string of at most {MAX_ID} characters")
    return given


def _parameters(part: dict[str, Any], where: str, known: tuple[str, ...]) -> dict[str, Any]:
    parameters = part.get("parameters", {})
    if not isinstance(parameters, dict):
        raise RequestError(400, "'parameters' must be an object")
    if unknown := sorted(parameters.keys() - set(known)):
        known_ones = f"{', '.join(known)} {'is' if len(known) == 1 else 'are'}"
        told = f"parameter '{unknown[0][:100]}' of {where} is not supported here: leave it out; {known_ones}"
        raise RequestError(400, told)
    return parameters


def _refuse_unknown(part: dict[str, Any], where: str, known: frozenset[str]) -> None:
    if unknown := sorted(part.keys() - known):
        told = f"'{unknown[0][:100]}' of {where} is not known here: leave it out; it has {', '.join(sorted(known))}"
        raise RequestError(400, told)


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RequestError(400, f"'{name}' must be true or false")
    return value


def _raw_parts(tensors: list[dict[str, Any]], rest: memoryview) -> dict[str, bytes]:
    parts, at = {}, 0
    for tensor in tensors:
        _refuse_unknown(tensor, f"input '{tensor['name'][:100]}'", INPUT_KEYS)
        size = _parameters(tensor, f"input '{tensor['name'][:100]}'", ("binary_data_size",)).get("binary_data_size")
        if size is None:
            continue
        if not isinstance(size, int) or size < 0 or at + size > len(rest):
            raise RequestError(400, f"binary_data_size of '{tensor['name']}' does not fit the body")
        if "data" in tensor:
            raise RequestError(400, f"input '{tensor['name']}' has both 'data' and binary_data_size: give one of them")
        parts[tensor["name"]] = bytes(rest[at : at + size])
        at += size
    if at != len(rest):
        raise RequestError(400, f"{len(rest) - at} bytes of the body do not belong to any input")
    return parts


def _tensor(given: dict[str, Any], declared: Tensor, raw: bytes | None) -> tuple[list[int], bytes]:
    name, datatype, expected = declared.name, declared.datatype, shown_shape(declared)
    if given.get("datatype") != datatype:
        raise RequestError(400, f"input '{name}' is {given.get('datatype')}, expected {datatype}")
    shape = given.get("shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape):
        raise RequestError(400, f"the shape of input '{name}' must be a list of positive integers")
    if len(shape) != len(expected) or any(want not in (ANY, size) for want, size in zip(expected, shape, strict=True)):
        raise RequestError(400, f"the shape of input '{name}' is {shape}, expected {expected} ({ANY}: any)")
    count = math.prod(shape)
    if count > MAX_VALUES:
        raise RequestError(400, f"input '{name}' has too few values, its shape needs more than {MAX_VALUES:,}")
    data = raw if raw is not None else _pack(given.get("data"), name, datatype, shape)
    try:
        size = size_of(datatype, data, count)
    except ValueError as error:
        raise RequestError(400, f"input '{name}': {error}") from None
    if len(data) != size:
        has = "more" if datatype == BYTES else f"{len(data) // BY_NAME[datatype].size_bytes}"
        raise RequestError(400, f"input '{name}' has {has} values, its shape needs {count}")
    if datatype == "BOOL" and data.translate(None, b"\0\1"):
        raise RequestError(400, f"input '{name}' has values that are neither true nor false")
    return shape, data


def _pack(data: Any, name: str, datatype: str, shape: list[int]) -> bytes:
    code = BY_NAME[datatype].from_json
    if not code and datatype != BYTES:
        raise RequestError(400, f"input '{name}' is {datatype}: send it as binary data")
    if not isinstance(data, list):
        raise RequestError(400, f"input '{name}' has no 'data' list")
    # Most clients send one flat list; a nested one has the input's shape.
    flat = list(_flat(data, shape, name)) if data and isinstance(data[0], list) else data
    if datatype == BYTES:
        return _pack_strings(flat, name, math.prod(shape))
    if datatype != "BOOL" and bool in set(map(type, flat)):  # a bool is an int to Python, and to no application
        raise RequestError(400, f"input '{name}' has values that do not fit {datatype}")
    try:
        return _to_little_endian(array(code, flat))
    except (TypeError, OverflowError, ValueError):
        raise RequestError(400, f"input '{name}' has values that do not fit {datatype}") from None


def _pack_strings(values: list[Any], name: str, count: int) -> bytes:
    if len(values) != count:
        raise RequestError(400, f"input '{name}' has {len(values)} values, its shape needs {count}")
    if not all(isinstance(value, str) for value in values):
        raise RequestError(400, f"input '{name}' has values that are no texts: BYTES are strings")
    return pack_texts(value.encode() for value in values)  # JSON's texts are always UTF-8 here


def _flat(data: Any, shape: Sequence[int], name: str) -> Iterator[Any]:
    if not isinstance(data, list) or not shape or len(data) != shape[0]:
        raise RequestError(400, f"the lists of input '{name}' are not of its shape: send them so, or one flat list")
    if len(shape) == 1:
        yield from data
    else:
        for row in data:
            yield from _flat(row, shape[1:], name)


def _to_little_endian(values: "array[Any]") -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _from_little_endian(code: str, data: bytes) -> "array[Any]":
    values = array(code, data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _wanted(head: dict[str, Any], declared: Sequence[Tensor], default: bool) -> dict[str, WantedOutput]:
    outputs = {output.name: output.datatype for output in declared}
    asked = _tensors(head, "outputs")
    if not asked:
        return dict.fromkeys(outputs, WantedOutput(default))
    if unknown := sorted({tensor["name"] for tensor in asked} - set(outputs)):
        raise RequestError(400, f"unknown output {unknown}: the model has {list(outputs)}")
    wanted = {tensor["name"]: _wanted_output(tensor, default) for tensor in asked}
    for name, one in wanted.items():
        if one.classes and outputs[name] == BYTES:
            raise RequestError(
                400, f"output '{name}' is of texts, which have no best classes: leave out classification"
            )
    return wanted


def _wanted_output(tensor: dict[str, Any], binary: bool) -> WantedOutput:
    _refuse_unknown(tensor, f"output '{tensor['name'][:100]}'", OUTPUT_KEYS)
    parameters = _parameters(tensor, f"output '{tensor['name']}'", ("binary_data", "classification"))
    classes = parameters.get("classification", 0)
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 0:
        raise RequestError(400, f"'classification' of output '{tensor['name']}' must be how many classes to tell")
    return WantedOutput(_flag(parameters, "binary_data", binary), classes)
