"""What a model takes and gives: as the session tells it, and as the manifest knows better."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgefleet_agent import inference_protocol
from edgefleet_agent.errors import ModelFailed
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_protocol.signature import Signature, Tensor

CLAIMED = Signature(
    (Tensor("x", "FP32", (None, "batch"), True, 1), Tensor("rate", "INT64", (1,), False)),
    (Tensor("y", "FP32", (None, "batch"), True, 1), Tensor("rate back", "INT64", (1,), False)),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x [time, batch] and rate [1], and both again."""
    infos = [("x", TensorProto.FLOAT, ["time", "batch"]), ("rate", TensorProto.INT64, [1])]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["rate"], ["rate back"])],
        "two",
        [helper.make_tensor_value_info(*info) for info in infos],
        [helper.make_tensor_value_info(name, *info[1:]) for name, info in zip(("y", "rate back"), infos, strict=True)],
    )
    path = tmp_path_factory.mktemp("two") / "model.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture
def workers(path: Path) -> Iterator[list[Worker]]:
    started: list[Worker] = []
    yield started
    for worker in started:
        worker.kill()


def request(time: int, batch: int) -> bytes:
    values = ", ".join(["1"] * time * batch)
    return (
        f'{{"inputs": [{{"name": "x", "datatype": "FP32", "shape": [{time}, {batch}], "data": [{values}]}}, '
        f'{{"name": "rate", "datatype": "INT64", "shape": [1], "data": [8000]}}]}}'
    ).encode()


@pytest.mark.parametrize(("claimed", "rows"), [(None, 5), (CLAIMED, 3)])
def test_rows_are_counted_along_the_axis_that_is_the_batch(
    path: Path, workers: list[Worker], claimed: Signature | None, rows: int
) -> None:
    workers.append(Worker(WorkerSpec(path, {}, signature=claimed)))
    parsed = inference_protocol.parse(request(5, 3), None, workers[0].signature)
    assert parsed.rows == rows
    assert workers[0].ask(parsed.tensors, parsed.data).outputs[0]["shape"] == [5, 3]


@pytest.mark.parametrize(
    ("claimed", "says"),
    [
        (Signature(CLAIMED.inputs[:1], CLAIMED.outputs), "the manifest's inputs are x, the model's x, rate"),
        (Signature((CLAIMED.inputs[0], Tensor("rate", "INT32", (1,))), CLAIMED.outputs), "'rate' is INT32"),
        (Signature((CLAIMED.inputs[0], Tensor("rate", "INT64", (2,))), CLAIMED.outputs), "'rate' is INT64"),
        (Signature((Tensor("x", "FP32", (None,)), CLAIMED.inputs[1]), CLAIMED.outputs), "'x' is FP32"),
    ],
)
def test_a_manifest_that_claims_another_signature_is_refused(path: Path, claimed: Signature, says: str) -> None:
    with pytest.raises(ModelFailed, match=says):
        Worker(WorkerSpec(path, {}, signature=claimed))
