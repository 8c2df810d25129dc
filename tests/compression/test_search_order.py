"""What a search asks for when its workers can do nothing: the order alone, with no model built."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.builds.messages import BuildRequest, WorkRefused
from edgefleet_compression.builds.worker_pool import Limits
from edgefleet_compression.models.door.onnx_card import card_for_onnx
from edgefleet_compression.search.search import Ask, SearchFolders, search
from edgefleet_compression.search.targets import SearchTarget


class Refusing:
    """Workers that refuse all work, and write down what they were asked for."""

    count = 1
    limits = Limits()

    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self.submit_within(self.limits, fn, *args, **kwargs)

    def submit_within(self, limits: Limits, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if isinstance(args[0], BuildRequest):
            self.asked.append(args[0].recipe.name)
        refused: Future[Any] = Future()
        refused.set_result(WorkRefused("step_failed", "it cannot be exported"))
        return refused


def test_a_brought_file_that_cannot_be_exported_is_still_tried_as_it_is(tmp_path: Path) -> None:
    onnx_file, data = tmp_path / "model.onnx", tmp_path / "data.npz"
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.eye(4, 3, dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx_file.write_bytes(model.SerializeToString())
    x = np.random.default_rng(0).random((30, 4), np.float32)
    np.savez(data, x=x, y=x[:, :3].argmax(1))
    (tmp_path / "model.toml").write_text(card_for_onnx(onnx_file, data, name=None, version=1))
    files = {name: tmp_path / name for name in ("model.toml", "model.onnx", "data.npz")}
    workers, folders = Refusing(), SearchFolders(tmp_path / "cache", tmp_path / "work")
    found = search(Ask(files, (SearchTarget("x86-avx2"),), 30), folders, workers)
    assert workers.asked == ["fp32", "as-brought"]
    assert [point.rejected for point in found.points] == ["it cannot be exported"] * 2
