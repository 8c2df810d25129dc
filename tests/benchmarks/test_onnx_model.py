"""The bar on a brought network: pictures are never shared by splits, intervals are by picture, and bars can fail."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from benchmarks.cases.onnx_model import ASKED, NNCF, OURS, ComparedFile, in_float, report
from benchmarks.efficientnet.agreement import by_picture
from benchmarks.efficientnet.pictures import CROPS, shares, splits
from benchmarks.efficientnet.stages import MadeFiles
from benchmarks.result import Result
from benchmarks.timing import Comparison

PICTURES = [f"p{number}" for number in range(10)]


def test_no_picture_is_in_two_splits_and_colour_and_grey_are_in_each() -> None:
    found = {split: {name for names in pictures for name in names} for split, pictures in splits().items()}
    assert not found["calib"] & found["test"] and not found["val"] & found["test"] and not found["calib"] & found["val"]
    for names in found.values():
        assert names & {"brick", "cell", "camera"} and names & {"astronaut", "coffee", "chelsea"}


def test_both_halves_of_a_stereo_pair_are_one_picture() -> None:
    assert [p for pictures in splits().values() for p in pictures if len(p) > 1] == [
        ("motorcycle_left", "motorcycle_right")
    ]


def test_enough_crops_are_evaluated_and_pictures_share_them_evenly() -> None:
    given = shares(CROPS["test"], splits()["test"])
    assert sum(given) == CROPS["test"] >= 1000
    assert max(given) - min(given) <= 1


def test_the_interval_is_by_picture_and_not_by_crop() -> None:
    alike = np.repeat([1.0, 0.0] * 5, 100)
    mixed = np.tile([1.0, 0.0], 500)
    owners = [picture for picture in PICTURES for _ in range(100)]
    wide, narrow = by_picture(alike, owners), by_picture(mixed, owners)
    assert wide.mean == narrow.mean == 0.5
    assert wide.high - wide.low > 0.5
    assert narrow.high == narrow.low == 0.5
    assert wide.by_picture["p0"] == 1.0 and wide.by_picture["p1"] == 0.0


def test_a_picture_with_more_crops_weighs_more() -> None:
    share = by_picture(np.asarray([1.0, 1.0, 1.0, 0.0]), ["a", "a", "a", "b"])
    assert share.mean == 0.75
    assert (share.low, share.high) == (0.0, 1.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two linear layers, one of which computes in 8 bits."""
    helper = onnx.helper
    weights = [onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), name) for name in ("w1", "w2")]
    scale = onnx.numpy_helper.from_array(np.float32(0.1), "s")
    zero = onnx.numpy_helper.from_array(np.uint8(0), "z")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["d", "w1"], ["m"], name="eight"),
        helper.make_node("MatMul", ["m", "w2"], ["y"], name="whole"),
    ]
    given, answered = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 4]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [given], [answered], [*weights, scale, zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, tmp_path / "file.onnx")
    return tmp_path / "file.onnx"


def test_layers_that_compute_in_float_are_counted(file: Path) -> None:
    assert in_float(file) == (1, 2)


def reported(ours: ComparedFile, theirs: ComparedFile, test: list[str]) -> dict[str, bool]:
    result = Result()
    owners = {"calib": ["a"], "val": ["b"], "test": test}
    report([ours, theirs], MadeFiles(Path("network.onnx"), Path("crops.npz"), owners), result)
    assert len(result.bars) == 5
    return {bar.id: bar.ok for bar in result.bars}


def candidate(name: str, path: Path, share: float, ratio: float = 0.6) -> ComparedFile:
    agrees = np.tile(np.arange(10) < 10 * share, 100).astype(np.float64)
    notes = {"seconds": 1.0, "agreement on val": None, "log": {}}
    return ComparedFile(name, path, None, notes, agrees, Comparison([ratio] * 20, [1.0] * 20, [1.0] * 20))


OWNERS = [picture for picture in PICTURES for _ in range(100)]


def test_a_file_that_agrees_as_often_as_nncfs_and_is_fast_holds_every_bar(file: Path) -> None:
    assert all(reported(candidate(OURS, file, ASKED), candidate(NNCF, file, ASKED), OWNERS).values())


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio", "broken"),
    [
        (0.8, 0.8, 0.6, "int8: agreement with fp32"),
        (0.9, 1.0, 0.6, "int8: agreement less that of nncf's accuracy control"),
        (0.9, 0.9, 0.8, "int8: latency to fp32"),
    ],
)
def test_each_bar_can_be_missed(file: Path, ours: float, theirs: float, ratio: float, broken: str) -> None:
    found = reported(candidate(OURS, file, ours, ratio), candidate(NNCF, file, theirs), OWNERS)
    assert [name for name, ok in found.items() if not ok] == [broken]


def test_without_a_file_of_nncfs_nothing_is_said_to_be_better(file: Path) -> None:
    found = reported(candidate(OURS, file, 1.0), ComparedFile(NNCF, reason="it cannot be installed"), OWNERS)
    assert found["int8: agreement with fp32"]
    assert not found["int8: agreement less that of nncf's accuracy control"]


def test_a_crop_of_a_picture_that_calibrated_is_seen(file: Path) -> None:
    seen = ["a", *OWNERS[1:]]
    found = reported(candidate(OURS, file, 1.0), candidate(NNCF, file, 1.0), seen)
    assert not found["crops evaluated of pictures that calibrated or steered"]
