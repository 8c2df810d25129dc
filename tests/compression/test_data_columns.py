"""A data file of several inputs, ragged samples and labels of any task is read by name, or refused in one line."""

import hashlib
import tempfile
import tracemalloc
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgefleet_compression.builds.lineage import _digest
from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.column_checks import WantedInput, check_each_label
from edgefleet_compression.models.splits.data import Data, SplitFile, check_arrays, check_beside, first_look, samples_in
from edgefleet_compression.models.splits.parts import PartReader
from edgefleet_compression.samples import Column, RawLabels
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.registry import task_named

IDS = WantedInput("ids", ("INT64",), (None,))
MASK = WantedInput("mask", ("BOOL",), (2,))
WAVE = WantedInput("wave", ("FP32",), ("time", 2))
PICTURE = WantedInput("picture", ("UINT8",), ("height", "width", 3))
BOTH = (IDS, MASK)

ids = np.arange(8).reshape(4, 2)
mask = np.ones((4, 2), bool)
wave = np.arange(12, dtype=np.float32).reshape(6, 2)
parts = np.array([1, 2, 1, 2])


def file_of(folder: Path, arrays: dict[str, Any], *inputs: WantedInput, labelled: bool = False) -> SplitFile:
    np.savez(folder / "data.npz", **arrays)
    return SplitFile(folder / "data.npz", PartReader(inputs, labelled))


def rows(column: Column) -> list[Any]:
    return [column.row(place).tolist() for place in range(len(column))]


def test_several_inputs_are_read_in_the_order_of_the_model(tmp_path: Path) -> None:
    split = file_of(tmp_path, {"x_val/mask": mask, "x_val/ids": ids, "y_val": parts}, *BOTH).read("val")
    assert list(split.x.columns) == ["ids", "mask"]
    assert rows(split.x.columns["ids"]) == ids.tolist()
    assert list(split.labels()) == [1, 2, 1, 2]


@pytest.mark.parametrize("name", ["a/b", "serving_default:0", '{"kind": "int", "of": [1]}', "values", "x_val", "a.npy"])
def test_an_input_may_have_any_name(name: str, tmp_path: Path) -> None:
    inputs = (WantedInput(name, ("INT64",), (2,)), WantedInput("lengths", ("INT64",), (2,)))
    arrays = {f"x_val/{name}": ids, "x_val/lengths": ids + 1}
    data = file_of(tmp_path, arrays, *inputs)
    assert rows(data.read("val").x.columns[name]) == ids.tolist()
    assert samples_in(tmp_path / "data.npz", "val") == 4
    check_arrays(tmp_path / "data.npz", (name, "lengths"))


@pytest.mark.parametrize("column", ["x_val", "x_val/ids"])
def test_one_input_is_read_with_its_name_or_without(column: str, tmp_path: Path) -> None:
    data = file_of(tmp_path, {column: ids}, IDS)
    assert rows(data.read("val").x.columns["ids"]) == ids.tolist()
    check_arrays(tmp_path / "data.npz", ("ids",))


def test_samples_of_unequal_length_and_of_unequal_shape_are_read(tmp_path: Path) -> None:
    shapes = np.array([(1, 2, 3), (2, 1, 3), (1, 1, 3), (2, 2, 3)])
    numbers = np.arange(shapes.prod(1).sum(), dtype=np.uint8)
    arrays = {"x_val/wave/values": wave, "x_val/wave/lengths": parts}
    arrays |= {"x_val/picture/values": numbers, "x_val/picture/shapes": shapes}
    split = file_of(tmp_path, arrays, WAVE, PICTURE).read("val")
    assert [len(row) for row in rows(split.x.columns["wave"])] == parts.tolist()
    assert rows(split.x.columns["wave"])[1] == wave[1:3].tolist()
    assert [split.x.columns["picture"].row(place).shape for place in range(4)] == list(map(tuple, shapes.tolist()))
    assert samples_in(tmp_path / "data.npz", "val") == 4


LISTS = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=4), min_size=10, max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LISTS)
def test_without_splits_all_inputs_and_labels_are_shuffled_alike(tmp_path: Path, lists: list[list[int]]) -> None:
    count, lengths = len(lists), [len(one) for one in lists]
    flat = np.array([number for one in lists for number in one])
    number = np.arange(count)
    arrays = {
        "x/ids/values": flat,
        "x/ids/lengths": lengths,
        "x/mask": np.stack([number % 2 == 0, number % 3 == 0], 1),
        "y/values": np.repeat(number, 2),
        "y/lengths": np.full(count, 2),
    }
    data = file_of(tmp_path, arrays, *BOTH)
    order = np.random.RandomState(0).permutation(count)
    seen: list[int] = []
    for name, begin, end in (("calib", 0.0, 0.2), ("val", 0.2, 0.6), ("test", 0.6, 1.0)):
        data = SplitFile(tmp_path / "data.npz", PartReader(BOTH))
        split = data.read(name)  # type: ignore[arg-type]
        wanted = sorted(order[round(begin * count) : round(end * count)].tolist())
        assert rows(split.x.columns["ids"]) == [lists[place] for place in wanted]
        assert rows(split.x.columns["mask"]) == [[place % 2 == 0, place % 3 == 0] for place in wanted]
        assert [label.tolist() for label in split.labels()] == [[place, place] for place in wanted]
        assert samples_in(tmp_path / "data.npz", name) == len(wanted)  # type: ignore[arg-type]
        seen += wanted
    assert sorted(seen) == list(range(count))
    assert not data.has("train")


@pytest.mark.parametrize(
    ("labels", "first"),
    [
        ({"y_val": np.array([3, 1, 2, 0], np.uint8)}, 3),
        ({"y_val": np.eye(4, dtype=np.int8)}, [1, 0, 0, 0]),
        ({"y_val": np.array([0.5, 1, 2, 3])}, 0.5),
        ({"y_val": np.array(["né", "b", "c", "d"])}, "né"),
        ({"y_val": np.array(["né".encode(), b"b", b"c", b"d"])}, "né"),
        (
            {"y_val/values": np.arange(20.0).reshape(4, 5), "y_val/lengths": [2, 0, 1, 1]},
            [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]],
        ),
        ({"y_val/values": np.arange(4), "y_val/lengths": [0, 3, 1, 0]}, []),
        ({"y_val": np.zeros((4, 2, 2), np.uint8)}, [[0, 0], [0, 0]]),
        ({"y_val/values": np.zeros(9, int), "y_val/shapes": [(1, 2), (2, 1), (2, 2), (1, 1)]}, [[0, 0]]),
    ],
)
def test_labels_of_every_task_are_read(labels: dict[str, Any], first: Any, tmp_path: Path) -> None:
    found = file_of(tmp_path, {"x_val": ids, **labels}, IDS).read("val").labels()
    assert len(found) == 4
    assert (found[0].tolist() if isinstance(found[0], np.ndarray) else found[0]) == first


TWO = {"x_val/ids": ids, "x_val/mask": mask}
VALUES, LENGTHS = "x_val/wave/values", "x_val/wave/lengths"
RAGGED = {VALUES: wave, LENGTHS: parts}


@pytest.mark.parametrize(
    ("inputs", "arrays", "reason"),
    [
        (BOTH, {**TWO, "x_val/ids": ids.astype(np.int32)}, r"x_val/ids is int32 [4, 2]: give int64 [N, any]"),
        (BOTH, {**TWO, "x_val/ids": ids[:, 0]}, "x_val/ids is int64 [4]: give int64 [N, any]"),
        (BOTH, {**TWO, "x_val/mask": np.ones((4, 3), bool)}, "x_val/mask is bool [4, 3]: give bool [N, 2]"),
        (BOTH, {"x_val/ids": ids}, "has no x_val/mask: the model takes ids, mask: give one array for each"),
        (BOTH, {"x_val": ids}, "the data file has no x_val/ids and no x_val/mask: add the split"),
        (BOTH, {**TWO, "x_val/mask": mask[:3]}, "x_val/ids has 4 samples and x_val/mask 3: give one of each"),
        (BOTH, {**TWO, "x_val/ids": ids[:0]}, "x_val/ids is empty: give samples"),
        (BOTH, {**TWO, "y_val": parts[:3]}, "y_val has 3 labels for 4 samples: give one label for each"),
        (BOTH, {**TWO, "y_val": np.float32(3)}, "y_val is float32 []: give numbers, or text of a fixed width"),
        (BOTH, {**TWO, "y_val": parts * 1j}, "y_val is complex128 [4]: give numbers, or text of a fixed width"),
        (BOTH, {**TWO, "y_val": np.uint64([0, 1, 2, 2**64 - 1])}, "y_val holds 18446744073709551615: a label of whole"),
        (BOTH, {**TWO, "y_val": np.full((4, 2), 2**63, np.uint64)}, "y_val holds 9223372036854775808: a label of"),
        (BOTH, {**TWO, "y_val": [0, 1, np.nan, 2]}, "y_val holds values that are not finite: repair"),
        (BOTH, {**TWO, "y_val": [b"\xff", b"", b"", b""]}, "y_val holds text that is not UTF-8"),
        ((IDS,), {"x_val": ids.astype(object)}, "not an npz of plain arrays ('x_val' holds objects)"),
        ((IDS,), {"x_val": np.int64(3)}, "x_val is int64 []: give int64 [N, any]"),
        ((), {"x_val": ids}, "the model takes no input"),
        ((WAVE,), {**RAGGED, LENGTHS: parts[:3]}, "x_val/wave/lengths adds up to 4, and x_val/wave/v"),
        ((WAVE,), {**RAGGED, LENGTHS: [1, 2, 0, 3]}, "sample 2 of x_val/wave is empty: leave it out"),
        ((WAVE,), {**RAGGED, LENGTHS: [8, 2, -1, -3]}, "is int64 [4]: give int64 [N], how long each"),
        ((WAVE,), {**RAGGED, LENGTHS: parts / 1}, "x_val/wave/lengths is float64 [4]: give int64 [N]"),
        ((WAVE,), {VALUES: wave}, "give x_val/wave/values with x_val/wave/lengths, or with"),
        ((WAVE,), {**RAGGED, VALUES: wave[:, :1]}, "give float32 [sum of lengths, 2], each sample [any, 2]"),
        ((WAVE,), {**RAGGED, VALUES: wave + np.inf}, "x_val/wave/values holds values that are not finite"),
        ((WAVE,), {"x_val/values": wave, "x_val/shapes": [(6, 2)]}, "float32 [6, 2]: give all numbers in one row"),
        ((WAVE,), {"x_val/values": wave[:, 0], "x_val/shapes": [(2, 3)]}, "[all their numbers], each sample [any, 2]"),
        ((WAVE,), {"x_val/values": wave[:, 0], "x_val/shapes": [(2, 2)]}, "to 4, and x_val/values has 6 numbers"),
        (
            (WAVE,),
            {"x_val/values": wave[:0, 0], "x_val/shapes": np.uint64([(0, 2**64 - 1)])},
            "x_val/shapes holds 18446744073709551615: no array is that large",
        ),
        ((WAVE,), {"x_val/values": wave[:, 0], "x_val/shapes": [(2**32, 2**32)]}, "adds up to 18446744073"),
    ],
)  # fmt: skip
def test_what_a_model_cannot_take_is_refused_in_one_line(
    inputs: tuple[WantedInput, ...], arrays: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        file_of(tmp_path, arrays, *inputs).read("val")
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x/ids": ids, "x/mask": mask}, "x/ids is [4, 2]: give 10 samples or more to split, or x_val and x_test"),
        ({"x/ids": ids.repeat(5, 0), "x/mask": mask.repeat(4, 0)}, "x/ids has 20 samples and x/mask 16"),
        ({"x/ids": ids.repeat(5, 0), "x/mask": mask.repeat(5, 0), "y": parts}, "each of the 20 samples of x/ids"),
    ],
)
def test_what_cannot_be_split_is_refused(arrays: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        file_of(tmp_path, arrays, *BOTH).read("val")
    assert reason in str(caught.value)


def test_labels_that_must_be_there_are_missed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no y_val: add the split"):
        file_of(tmp_path, TWO, *BOTH, labelled=True).read("val")
    whole = {"x/ids": ids.repeat(5, 0), "x/mask": mask.repeat(5, 0)}
    with pytest.raises(DataError, match="the data file has no y: add the labels"):
        file_of(tmp_path, whole, *BOTH, labelled=True).read("val")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["x_val/ids", "x_val/maks"], "'x_val/maks' would be ignored: did you mean 'x_val/mask'?"),
        (["x_val/ids", "x_val/ids/lengths"], "'x_val/ids/lengths' would be ignored"),
        (["x_val/ids", "y_val/boxes"], "'y_val/boxes' would be ignored"),
        (["x/ids", "x/mask", "y_val"], "'y_val' would be ignored"),
    ],
)
def test_an_array_that_nothing_reads_is_named(names: Sequence[str], reason: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **dict.fromkeys(names, ids))
    with pytest.raises(DataError) as caught:
        check_arrays(tmp_path / "data.npz", ("ids", "mask"))
    assert reason in str(caught.value)


def test_a_fault_in_the_splits_besides_is_found(tmp_path: Path) -> None:
    data = file_of(tmp_path, {**TWO, "x_train/ids": ids}, *BOTH)
    with pytest.raises(DataError, match="has no x_train/mask"):
        check_beside(data)


def test_where_one_array_is_taken_other_samples_are_refused(tmp_path: Path) -> None:
    for arrays, told in ((TWO, "x_val/ids, x_val/mask: give x_val"), (RAGGED, "has x_val/wave: give x_val, one array")):
        np.savez(tmp_path / "data.npz", **arrays)
        with pytest.raises(DataError, match=told):
            first_look(tmp_path / "data.npz")


def test_a_label_that_a_task_cannot_read_is_told_with_its_row() -> None:
    labels = RawLabels(Column(np.array(["0.5", "one"])))
    with pytest.raises(DataError, match="label 0 of y_val: "):
        check_each_label("y_val", labels, lambda raw: task_named("regression").label(raw, Spec()))
    check_each_label(
        "y_val", RawLabels(Column(np.array([0.5]))), lambda raw: task_named("regression").label(raw, Spec())
    )


def test_one_input_with_classes_has_the_digest_of_old(tmp_path: Path) -> None:
    x, y = np.arange(160, dtype=np.uint8).reshape(40, 1, 2, 2), (np.arange(40) % 3).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    assert _digest(Data(tmp_path / "data.npz", (1, 2, 2), 3).read("val")) == (
        "0d7031300336b284ef4a270dfcc8431ab9f951dc8a227041ff69aae1be95cd6e"
    )
    np.savez(tmp_path / "data.npz", x_val=x, y_val=y)
    wanted = hashlib.sha256(b"|u1 (40, 1, 2, 2)\n" + x.tobytes() + b"<i8 (40,)\n" + y.astype(np.int64).tobytes())
    assert _digest(Data(tmp_path / "data.npz", (1, 2, 2), 3).read("val")) == wanted.hexdigest()


def test_an_array_that_is_shorter_than_it_says_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000, 2), }\n"
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x_val.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))
    with pytest.raises(DataError, match=r"'x_val' is int64 .* holds 64 bytes of 16000000000000"):
        SplitFile(tmp_path / "data.npz", PartReader((IDS,))).read("val")


def test_arrays_by_column_are_read_as_any(tmp_path: Path) -> None:
    x = np.asfortranarray(np.arange(40).reshape(20, 2))
    found = file_of(tmp_path, {"x": x}, IDS).read("test").x.columns["ids"]
    assert rows(found) == [row for row in x.tolist() if row in rows(found)] and len(found) == 8


ROW = (WantedInput("x", ("UINT8",), (2**20,)),)


def peak_of(data: SplitFile) -> tuple[Any, float]:
    """What is read of val, and how many MB that takes at its most."""
    tracemalloc.start()
    found = data.read("val").x.columns["x"].values
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found, peak_bytes / 2**20


def test_of_an_array_that_is_split_only_what_a_split_needs_is_read(tmp_path: Path) -> None:
    x = np.arange(50, dtype=np.uint8)[:, None].repeat(2**20, axis=1)
    found, peak_mb = peak_of(file_of(tmp_path, {"x": x}, *ROW))
    assert found[:, -1].tolist() == np.sort(np.random.RandomState(0).permutation(50)[10:30]).tolist()
    assert peak_mb < 20 + 24  # and some blocks


def test_a_large_array_is_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((264, 2**20), np.uint8)
    x[:, -1] = np.arange(264) % 251
    data = file_of(tmp_path, {"x_val": x}, *ROW)
    found, peak_mb = peak_of(data)
    assert found[:, -1].tolist() == x[:, -1].tolist() and found.flags.writeable
    assert peak_mb < 16
    data.forget("val")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"264 MB of the data file cannot be kept in .*No such file.*: make room"):
        data.read("val")


def test_samples_of_odd_types_are_what_onnxruntime_takes(tmp_path: Path) -> None:
    tensors = (Tensor("text", "BYTES", ("n",)), Tensor("rate", "INT64", ()), Tensor("level", "FP64", ("n", 2)))
    kinds = {"BYTES": TensorProto.STRING, "INT64": TensorProto.INT64, "FP64": TensorProto.DOUBLE}
    given, gives = (
        [helper.make_tensor_value_info(f"{mark}{one.name}", kinds[one.datatype], one.shape) for one in tensors]
        for mark in ("", "same ")
    )
    nodes = [helper.make_node("Identity", [one.name], [f"same {one.name}"]) for one in tensors]
    graph = helper.make_graph(nodes, "g", given, gives)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    arrays = {"x_val/text": ["one", "twö"], "x_val/rate": [8, 16], "x_val/level": np.arange(4.0).reshape(2, 2)}
    data = file_of(tmp_path, arrays, *map(WantedInput.of, tensors))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    text, rate, level = session.run(None, dict(data.read("val").x.feed(1, Signature(tensors, tensors))))
    assert (text.tolist(), int(rate), level.tolist()) == (["twö"], 16, [[2, 3]])
