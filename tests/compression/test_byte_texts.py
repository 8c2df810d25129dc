"""Samples of texts in numpy's bytes (S): they are the texts that their UTF-8 says, through the whole build."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.compression.brought_models import data_file, written
from tests.compression.test_door_onnx import Brought

from edgefleet_compression.models.door.onnx_card import card_for_onnx
from edgefleet_contract.first_card import CardHints

WORDS = ["ja", "nein", "caf\u00e9", "\u4f60\u597d"]
TOLD = CardHints(task="classification")


def finder() -> onnx.ModelProto:
    """Which of the words a text is, as a row with a 1 in its place."""
    nodes = [
        helper.make_node("LabelEncoder", ["x"], ["place"], domain="ai.onnx.ml", keys_strings=WORDS,
                         values_int64s=list(range(4)), default_int64=4),
        helper.make_node("OneHot", ["place", "depth", "values"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        [
            numpy_helper.from_array(np.array(5), "depth"),
            numpy_helper.from_array(np.array([0, 1], np.float32), "values"),
        ],
    )
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def test_texts_as_bytes_are_answered_as_the_texts_that_they_are(tmp_path: Path) -> None:
    x, y = np.array([word.encode() for word in WORDS] * 20), np.arange(80) % 4
    model = Brought(tmp_path, written(finder(), tmp_path), data_file(tmp_path, x=x, y=y), told=TOLD)
    metrics = model.built("as-brought").metrics
    assert (metrics.score_val, metrics.score_test, metrics.agreement) == (1, 1, 1)


def test_bytes_that_are_no_text_are_refused_at_the_door_as_devices_would(tmp_path: Path) -> None:
    x = np.array([b"ja", b"\xff\xfe"] * 40)
    with pytest.raises(Exception, match="x holds text that is not UTF-8: write it as numpy's fixed-width text, U"):
        card_for_onnx(written(finder(), tmp_path), data_file(tmp_path, x=x), name=None, version=1, told=TOLD)
