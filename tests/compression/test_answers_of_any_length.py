"""A model whose answers have as many numbers as its samples is asked, judged and reduced sample by sample."""

import hashlib
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from tests.compression.brought_models import written

from edgefleet_compression.cache import Cache
from edgefleet_compression.models.source_files import open_source
from edgefleet_contract.card import CARD_FILE


def test_rows_of_unequal_length_are_answers_of_their_own(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["text"], ["wide"], to=1), helper.make_node("Squeeze", ["wide"], ["cut"])],
        "letters",
        [helper.make_tensor_value_info("text", TensorProto.INT64, [1, "letters"])],
        [helper.make_tensor_value_info("cut", TensorProto.FLOAT, ["letters"])],
    )
    model = written(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path, "model.onnx"
    )
    lengths = np.array([3, 5, 2, 4], np.int64)
    columns = {f"x_{split}/values": np.arange(14) for split in ("calib", "val", "test")}
    columns |= {f"x_{split}/lengths": lengths for split in ("calib", "val", "test")}
    data, card = tmp_path / "data.npz", tmp_path / CARD_FILE
    np.savez(data, allow_pickle=False, **columns)
    digests = {path.name: f'file = "{path.name}"\nsha256 = "{_sha256(path)}"' for path in (model, data)}
    card.write_text(
        f'name = "letters"\ndoor = "onnx"\ntask = "outputs"\n[onnx]\n{digests["model.onnx"]}\n'
        f"[data]\n{digests['data.npz']}\n"
    )
    source = open_source({CARD_FILE: card, "model.onnx": model, "data.npz": data}, Cache(tmp_path / "cache"))
    assert [outputs[0].shape for outputs in source.answered("val")] == [(1, 3), (1, 5), (1, 2), (1, 4)]
    reduced = source.reduced("val")
    assert source.judge.agreement(reduced, reduced) == 1.0
    assert source.judge.agreement(reduced, [*reduced[1:], reduced[0]]) < 0.1


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
