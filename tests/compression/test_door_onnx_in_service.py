"""`model add my.onnx --data data.npz`, against a real service: from the file to a choice for a profile."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper
from tests.compression.brought_models import LIGHT, classifier, data_file, outside, trees, written
from tests.compression.conftest import pictures
from tests.compression.odd_graphs import Odd, odd_graph
from tests.plain import PlainClient
from tests.service import api_of, running_service

from edgefleet_compression.models.ways import training_ways
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_controller.models.needs import needs_of
from edgefleet_operator.errors import ApiError, UnusableFile
from edgefleet_profiles.catalogue import load_catalogue

HEAVY = {"torch", "onnx", "onnxruntime"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[PlainClient]:
    with (
        running_service(tmp_path / "state") as service,
        api_of(service) as address,
        closing(PlainClient(address)) as opened,
    ):
        yield opened


def compressed(client: PlainClient, model: str, profiles: list[str]) -> dict[str, Any]:
    operation = client.post("/builds", {"model": model, "profiles": profiles})
    while operation["state"] == "running":
        time.sleep(0.2)
        operation = client.get(f"/operations/{operation['id']}")
    assert operation["error"] is None
    return operation["result"]


def test_a_file_of_the_model_zoo_is_compressed_and_chosen_for_a_profile(client: PlainClient, tmp_path: Path) -> None:
    x = np.random.RandomState(0).randint(0, 256, (12, 3, 224, 224)).astype(np.uint8)
    data = data_file(tmp_path, x=x)
    added = client.add_onnx(LIGHT / "light_shufflenet.onnx", data, "shufflenet", 2)
    assert (added["model"], added["labels"]) == ("shufflenet@2", [])
    assert client.add_onnx(LIGHT / "light_shufflenet.onnx", data, "shufflenet", 2) == added
    result = compressed(client, "shufflenet@2", ["eu/rpi4/lte"])
    assert result["failed"] == {} and len(result["variants"]) == 3
    left_out = result["not_applicable"]
    assert left_out.keys() == {"int8 (arm-neon)", "pruned-int8", "pruned-w8", "student-w5"}
    assert left_out["student-w5"] == "'distill' learns from samples, but this model came without x_train"
    choice = next(client.items("/models/shufflenet@2/choices"))
    chosen = client.get(f"/variants/{choice['variant']}")
    assert (chosen["accuracy"], chosen["accuracy_val"], chosen["agreement"]) == (None, None, 1.0)
    assert all("accuracy not measured" in reason for reason in choice["reasons"].values())


def test_samples_of_unequal_shapes_are_given_as_a_folder_of_files(client: PlainClient, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    for n in range(12):
        shape = (1, 8 + n % 3, 8 + n % 2)
        np.savez(tmp_path / "samples" / f"{n}.npz", x=np.full(shape, n, np.float32), y=np.array(n % 3))
    sizes = ["n", 1, "height", "width"]
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "w"], ["logits"]),
    ]
    tensors = [helper.make_tensor_value_info(*one) for one in (("x", 1, sizes), ("logits", 1, ["n", 3]))]
    weights = numpy_helper.from_array(np.float32([[-1, 0.1, 1]]), "w")
    graph = helper.make_graph(nodes, "loose", tensors[:1], tensors[1:], [weights])
    loose = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    added = client.add_onnx(written(loose, tmp_path, "net.onnx"), tmp_path / "samples", "loose", 1)
    assert (added["model"], added["task"]) == ("loose@1", "classification")
    np.savez(tmp_path / "samples" / "odd.npz", z=np.zeros(3))
    with pytest.raises(UnusableFile, match=r"^odd\.npz has z: give x, y, as the first file"):
        client.add_onnx(tmp_path / "net.onnx", tmp_path / "samples", "odd", 1)


def test_weights_in_another_file_are_sent_within_the_model(client: PlainClient, tmp_path: Path) -> None:
    data = data_file(tmp_path, x=pictures(60, 3)[0])
    added = client.add_onnx(outside(tmp_path / "theirs"), data, "packed", 1)
    whole = sha256(classifier().SerializeToString()).hexdigest()
    assert (added["model"], added["files"]["model.onnx"]) == ("packed@1", whole)


def test_what_cannot_be_compressed_is_delivered_and_the_result_says_why_nothing_else_was_made(
    client: PlainClient, tmp_path: Path
) -> None:
    data = data_file(tmp_path, x=pictures(60, 3)[0].astype(np.float32) / 255)
    added = client.add_onnx(written(trees(), tmp_path, "trees.onnx"), data, "trees", 1)
    result = compressed(client, "trees@1", ["eu/x86-vnni/ethernet"])
    assert result["failed"] == {}
    made = {client.get(f"/variants/{variant}")["recipe"] for variant in result["variants"]}
    assert made == {"as-brought", "fp32"}
    why = "the model has no weights that could take fewer bits: it is made of Cast, Flatten, "
    assert {name for name, reason in result["not_applicable"].items() if reason.startswith(why)} == {
        "w8",
        "int8 (x86-vnni)",
    }
    manifest = next(m for v in result["variants"] if (m := client.get(f"/variants/{v}"))["recipe"] == "as-brought")
    assert manifest["file_bytes"] == (tmp_path / "trees.onnx").stat().st_size
    assert added["model"] == "trees@1"


# tests/compression/test_odd_graphs.py asks every step, in this process; that the service's workers agree is seen once.
@pytest.mark.parametrize(
    "how",
    [
        Odd(home="loop", bias="[]"),
        pytest.param(Odd(bias="[1, N]"), marks=pytest.mark.slow),
        pytest.param(Odd(mask="-inf"), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_odd_but_legal_files_get_every_variant_that_a_plain_one_gets(
    client: PlainClient, tmp_path: Path, how: Odd
) -> None:
    x, y = pictures(60, 3)
    data = data_file(tmp_path, x=x, y=y)
    added = client.add_onnx(written(odd_graph(how), tmp_path, "odd.onnx"), data, "odd", 1)["model"]
    result = compressed(client, added, ["eu/x86-vnni/ethernet"])
    assert result["failed"] == {} and len(result["variants"]) == 4


def test_a_file_that_cannot_be_taken_is_refused_by_the_client_and_by_the_service(
    client: PlainClient, tmp_path: Path
) -> None:
    data = data_file(tmp_path, x=np.zeros((12, 1, 8, 8), np.uint8))
    with pytest.raises(UnusableFile, match="takes 4 samples at once"):
        client.add_onnx(written(classifier(batch=4), tmp_path), data)
    with pytest.raises(UnusableFile, match="loading this format runs code"):
        client.add_onnx(tmp_path / "net.pt", data)
    bad, good = written(classifier(batch=4), tmp_path / "bad"), written(classifier(), tmp_path / "good")
    client.add_onnx(good, data)
    folder = card_for(good, data, bad, tmp_path / "model")
    with pytest.raises(ApiError, match="takes 4 samples at once") as caught:
        client.add_model(folder)
    assert caught.value.status in (400, 422)


def card_for(good: Path, data: Path, bad: Path, folder: Path) -> Path:
    """A folder whose card says of a bad file what is true of a good one."""
    from edgefleet_compression.models.door.onnx_card import card_for_onnx

    folder.mkdir()
    text = card_for_onnx(good, data, name="bad", version=1)
    digests = [sha256(path.read_bytes()).hexdigest() for path in (good, bad)]
    (folder / "model.toml").write_text(text.replace(*digests))
    (folder / "model.onnx").write_bytes(bad.read_bytes())
    (folder / "data.npz").write_bytes(data.read_bytes())
    return folder


def test_the_controllers_process_learns_of_a_file_without_onnx(tmp_path: Path) -> None:
    model = written(classifier(), tmp_path)
    data = data_file(tmp_path, x=np.zeros((12, 1, 8, 8), np.uint8))
    code = (
        "import sys; from pathlib import Path; "
        "import edgefleet_operator.client, edgefleet_controller.models.registration; "
        "from edgefleet_compression.models.door.onnx_card import card_for_onnx; "
        f"card_for_onnx(Path({str(model)!r}), Path({str(data)!r}), name=None, version=1); "
        f"print(*{HEAVY!r} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_is_left_out_is_told_once_for_a_door_and_for_each_processor_it_concerns() -> None:
    profiles = [load_catalogue().profile(name) for name in ("eu/rpi4/lte", "eu/rpi-zero-2w/lte")]
    needs = needs_of(profiles, list(shipped_recipes().values()), "brought")
    assert [need.label for need in needs.variants] == ["as-brought", "fp32", "w8"]
    assert sorted(needs.left_out) == ["int8 (arm-neon)", "pruned-int8", "pruned-w8", "student-w5"]
    assert needs_of(profiles, [shipped_recipes()["fp32"]], "torch").left_out == {}


def test_a_file_that_brings_samples_to_learn_from_gets_a_student() -> None:
    profiles = [load_catalogue().profile("eu/rpi4/lte")]
    needs = needs_of(profiles, list(shipped_recipes().values()), "brought", train=True)
    assert [need.label for need in needs.variants] == ["student-w5", "as-brought", "fp32", "w8"]
    assert "student-w5" not in needs.left_out


def test_no_student_is_planned_for_a_model_of_another_task_or_of_several_inputs() -> None:
    profiles = [load_catalogue().profile("eu/rpi4/lte")]
    reasons = {
        ("detection", 1): "a student learns to tell classes apart, and the model's task is detection",
        ("classification", 2): "a student takes one input, and the model takes 2",
    }
    for known, reason in reasons.items():
        ways = training_ways(*known)
        needs = needs_of(profiles, list(shipped_recipes().values()), "brought", train=True, ways=ways)
        assert [need.label for need in needs.variants] == ["as-brought", "fp32", "w8"]
        assert needs.left_out["student-w5"] == reason
