"""A model with weights in other files, or with maps for its answers, becomes one file of tensors before it is sent."""

import ast
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.compression.brought_models import Spoil, classifier, outside, written

from edgefleet_compression.errors import GraphError
from edgefleet_compression.models.door.brought import check_graph, open_graph
from edgefleet_compression.models.door.one_file import NAMES, in_one_file
from edgefleet_contract.uploads import MAX_ONNX_BYTES


def test_weights_in_another_file_are_packed_in(tmp_path: Path) -> None:
    path = outside(tmp_path / "theirs")
    with pytest.raises(GraphError, match="lies in another file: register it by `edgefleet model add"):
        check_graph(path)
    made = in_one_file(path, tmp_path)
    assert made == tmp_path / path.name and onnx.load(made) == classifier()
    check_graph(made)
    assert open_graph(made).run({"input.1": np.zeros((2, 1, 8, 8), np.float32)})[0].shape == (2, 3)


def test_a_model_that_is_one_file_is_that_file(tmp_path: Path) -> None:
    path = written(classifier(), tmp_path)
    assert in_one_file(path, tmp_path / "elsewhere") == path


def told(model: onnx.ModelProto, **changed: str) -> None:
    for entry in model.graph.initializer[0].external_data:
        entry.value = changed.get(entry.key, entry.value)


def linked(folder: Path, model: onnx.ModelProto) -> None:
    kept = (folder / "weights" / "w.bin").rename(folder.parent / "w.bin")
    (folder / "weights" / "w.bin").symlink_to(kept)


def shortened(folder: Path, model: onnx.ModelProto) -> None:
    (folder / "weights" / "w.bin").write_bytes(b"\0" * 4100)


def huge(folder: Path, model: onnx.ModelProto) -> None:
    with (folder / "weights" / "w.bin").open("r+b") as file:
        file.truncate(MAX_ONNX_BYTES + 8192)
    model.graph.initializer[0].dims[:] = [MAX_ONNX_BYTES // 4 + 1]
    told(model, length=str(4 * (MAX_ONNX_BYTES // 4 + 1)))


BAD: dict[str, tuple[Spoil, str]] = {
    "missing": (lambda folder, _: (folder / "weights" / "w.bin").unlink(), "'weights/w.bin' with the weight 'w' is"),
    "cut short": (shortened, "'w.bin' has 4,100 bytes, and the weight 'w' is that up to byte 4,864: copy"),
    "above the folder": (lambda _, model: told(model, location="../w.bin"), "'../w.bin', outside the model's folder"),
    "anywhere": (lambda _, model: told(model, location="/etc/passwd"), "'/etc/passwd', outside the model's folder"),
    "a link out of the folder": (linked, "lies in 'weights/w.bin', outside the model's folder"),
    "a folder": (lambda _, model: told(model, location="weights"), "'weights' with the weight 'w' is missing"),
    "another length": (lambda _, model: told(model, length="12"), "the weight 'w' needs 768 bytes"),
    "no number": (lambda _, model: told(model, offset="x"), "the weight 'w' needs 768 bytes"),
    "before the file": (lambda _, model: told(model, offset="-8"), "the weight 'w' needs 768 bytes"),
    "too large": (huge, "at most 2,147,483,647 are possible in one file with all of its weights"),
}  # fmt: skip


@pytest.mark.parametrize("how", BAD)
def test_what_cannot_be_packed_is_refused_in_one_line(how: str, tmp_path: Path) -> None:
    spoil, reason = BAD[how]
    path = outside(tmp_path / "theirs", spoil)
    with pytest.raises(GraphError) as caught:
        in_one_file(path, tmp_path)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / path.name).exists()


def with_maps(classes: list[str] | list[int]) -> onnx.ModelProto:
    kind = "classlabels_strings" if isinstance(classes[0], str) else "classlabels_int64s"
    model = classifier()
    model.graph.node[-1].output[0] = "tensor"
    model.graph.node.append(helper.make_node("ZipMap", ["tensor"], ["probs"], domain="ai.onnx.ml", **{kind: classes}))
    key = TensorProto.STRING if isinstance(classes[0], str) else TensorProto.INT64
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(key, value))
    model.graph.output[0].CopyFrom(helper.make_value_info("probs", maps))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    return model


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (["left", "middle", "it's right"], {0: "left", 1: "middle", 2: "it's right"}),
        ([0, 1, 2], None),
        ([2, 3, 5], {0: "2", 1: "3", 2: "5"}),
    ],
)
def test_maps_become_the_tensor_that_they_are_made_of_and_their_classes_names(
    classes: list[str] | list[int], names: dict[int, str] | None, tmp_path: Path
) -> None:
    path = written(with_maps(classes), tmp_path / "theirs")
    made = in_one_file(path, tmp_path)
    x = np.random.RandomState(0).rand(2, 1, 8, 8).astype(np.float32)
    maps, tensor = (
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]).run(["probs"], {"input.1": x})[0]
        for one in (path, made)
    )
    assert [[row[one] for one in classes] for row in maps] == tensor.tolist()
    check_graph(made)
    assert open_graph(made).run({"input.1": np.zeros((2, 1, 8, 8), np.float32)})[0].shape == (2, 3)
    found = {entry.key: entry.value for entry in onnx.load(made).metadata_props}
    assert (ast.literal_eval(found[NAMES]) if NAMES in found else None) == names
