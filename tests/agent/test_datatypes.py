"""Tensors of every type that the Open Inference Protocol has go to a real worker and come back as they were."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgefleet_agent import inference_protocol
from edgefleet_agent.errors import RequestError
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_protocol.datatypes import BY_NAME, BYTES, pack_texts, texts_in
from edgefleet_protocol.signature import DATATYPES

ELEMENTS = {
    "FP32": onnx.TensorProto.FLOAT,
    "FP64": onnx.TensorProto.DOUBLE,
    "FP16": onnx.TensorProto.FLOAT16,
    "BOOL": onnx.TensorProto.BOOL,
    BYTES: onnx.TensorProto.STRING,
} | {name: getattr(onnx.TensorProto, name) for name in DATATYPES if name.startswith(("INT", "UINT"))}
TEXTS = ["", "plain", "日本語 🙂", "a\0b", "x" * 70_000, "six"]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Gives back an input of each type, [any, 3]."""
    names = sorted(ELEMENTS)
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name} back"]) for name in names],
        "every type",
        [helper.make_tensor_value_info(name, ELEMENTS[name], ["n", 3]) for name in names],
        [helper.make_tensor_value_info(f"{name} back", ELEMENTS[name], ["n", 3]) for name in names],
    )
    path = tmp_path_factory.mktemp("types") / "model.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    made = Worker(WorkerSpec(path, {}))
    yield made
    made.kill()


def values(name: str) -> Any:
    """Two rows of the least, the largest and other values of a type."""
    if name == BYTES:
        return np.array(TEXTS, object).reshape(2, 3)
    dtype = np.dtype(BY_NAME[name].numpy)
    if dtype.kind == "b":
        return np.array([[True, False, True], [False, False, True]])
    least, most = (np.finfo(dtype).min, np.finfo(dtype).max) if dtype.kind == "f" else (0, np.iinfo(dtype).max)
    return np.array([[least, most, 1], [2, 3, np.iinfo(dtype).min if dtype.kind == "i" else 7]], dtype)


def raw(array: Any) -> bytes:
    if array.dtype.kind != "O":
        return bytes(array.tobytes())
    return pack_texts(text.encode() for text in array.flat)


def binary_request() -> tuple[bytes, int]:
    parts = {name: raw(values(name)) for name in ELEMENTS}
    inputs = [
        {"name": name, "datatype": name, "shape": [2, 3], "parameters": {"binary_data_size": len(part)}}
        for name, part in parts.items()
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return head + b"".join(parts.values()), len(head)


def ask(worker: Worker, body: bytes, head: int | None) -> tuple[bytes, int | None]:
    request = inference_protocol.parse(body, head, worker.signature)
    return inference_protocol.reply(worker.ask(request.tensors, request.data), request, {}, ())


def test_each_type_of_the_protocol_is_served() -> None:
    assert set(BY_NAME) == DATATYPES == set(ELEMENTS)


def test_raw_values_of_every_type_come_back_as_they_were(worker: Worker) -> None:
    data, head = ask(worker, *binary_request())
    assert head is not None
    at = head
    for output in json.loads(data[:head])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        assert data[at : at + size] == raw(values(output["datatype"])), output["datatype"]
        at += size
    assert at == len(data)


def test_json_values_come_back_as_they_were_and_halves_only_raw(worker: Worker) -> None:
    body, head = binary_request()
    told = json.loads(body[:head])
    del told["parameters"]
    for tensor in told["inputs"]:
        name = tensor["name"]
        if name != "FP16":
            tensor.pop("parameters")
            tensor["data"] = values(name).tolist() if name in ("BOOL", BYTES, "INT8") else values(name).ravel().tolist()
    whole = json.dumps(told).encode()
    data, head_back = ask(worker, whole + raw(values("FP16")), len(whole))
    assert head_back is not None and data[head_back:] == raw(values("FP16"))
    for output in json.loads(data[:head_back])["outputs"]:
        name = output["datatype"]
        if name != "FP16":
            assert output["data"] == values(name).ravel().tolist(), name


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (BYTES, {"data": ["a"] * 5}, "has 5 values, its shape needs 6"),
        (BYTES, {"data": [1] * 6}, "BYTES are strings"),
        (BYTES, {"data": ["\ud800"] * 6}, "not JSON"),
        ("UINT16", {"data": [70_000] * 6}, "do not fit UINT16"),
        ("INT16", {"data": [0.5] * 6}, "do not fit INT16"),
        ("BOOL", {"data": [2] * 6}, "neither true nor false"),
        ("UINT64", {"datatype": "INT64", "data": [1] * 6}, "is INT64, expected UINT64"),
    ],
)
def test_values_of_another_type_are_refused(worker: Worker, name: str, change: dict[str, Any], says: str) -> None:
    told = {"inputs": []}
    parts = []
    for one in ELEMENTS:
        part = raw(values(one))
        tensor: dict[str, Any] = {"name": one, "datatype": one, "shape": [2, 3]}
        if one == name:
            tensor |= change
        else:
            tensor["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
        told["inputs"].append(tensor)
    head = json.dumps(told).encode()
    with pytest.raises(RequestError, match=says):
        ask(worker, head + b"".join(parts), len(head))


@pytest.mark.parametrize(
    "data",
    [b"", b"\1\0\0", struct.pack("<I", 5) + b"four", struct.pack("<I", 2**32 - 1), pack_texts([b"one"])],
)
def test_raw_texts_that_are_not_all_there_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="do not hold 2 texts"):
        list(texts_in(data, 2))


def test_a_raw_text_that_is_not_utf8_is_the_requests_fault(worker: Worker) -> None:
    body, head = binary_request()
    six = body.index(pack_texts([b"six"]))
    with pytest.raises(RequestError, match="a text that is not UTF-8"):
        ask(worker, body[: six + 4] + b"\xff\xfe\xfd" + body[six + 7 :], head)


def test_texts_have_no_best_classes(worker: Worker) -> None:
    body, head = binary_request()
    told = json.loads(body[:head])
    told["outputs"] = [{"name": f"{BYTES} back", "parameters": {"classification": 2}}]
    changed = json.dumps(told).encode()
    with pytest.raises(RequestError, match="of texts, which have no best classes"):
        ask(worker, changed + body[head:], len(changed))
