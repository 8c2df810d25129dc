"""`edgefleet model init`: a card of what a file tells, completed once samples are there, and no change lost."""

import hashlib
import json
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.compression.brought_models import classifier, data_file, outside, written
from tests.service import api_of, running_service
from typer.testing import CliRunner, Result

from edgefleet_contract.card import parse_card
from edgefleet_operator.cli import app


def types(*words: str | Path, code: int = 0, **environment: str) -> Result:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "300", **environment})
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pixels(folder: Path, name: str = "data.npz") -> Path:
    rng = np.random.default_rng(0)
    made = data_file(folder, x=rng.integers(0, 256, (120, 1, 8, 8), np.uint8), y=np.arange(120) % 3)
    return made.rename(folder / name)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """An ONNX file that takes pictures of 8x8 and answers three classes."""
    folder = tmp_path / "download"
    folder.mkdir()
    return written(classifier(), folder).rename(folder / "My Net 2.onnx")


def uncommented(text: str) -> str:
    """A card as its reader leaves it who follows each comment that shows a line."""
    shown = [line.removeprefix("# ") for line in text.splitlines()]
    return "\n".join(line for line in shown if line.startswith("[") or " = " in line)


def test_what_a_file_tells_is_filled_in_and_comments_say_the_rest(net: Path, tmp_path: Path) -> None:
    said = types("model", "init", net, tmp_path / "model").stdout.splitlines()
    card = tmp_path / "model" / "model.toml"
    assert said[0] == f"{card} is written: my-net-2@1 takes float32 [1, 8, 8], answers 3 classes"
    assert said[1] == "missing: samples: put data.npz beside the card, then run this command again"
    copied = tmp_path / "model" / "My Net 2.onnx"
    assert tomllib.loads(card.read_text()) == {
        **{"name": "my-net-2", "version": 1, "door": "onnx"},
        "onnx": {"file": "My Net 2.onnx", "sha256": sha256(net)},
        "input": {"name": tomllib.loads(card.read_text())["input"]["name"], "shape": [1, 8, 8]},
    }
    assert copied.read_bytes() == net.read_bytes()
    whole = uncommented(card.read_text()).replace("64 hexadecimal digits", "0" * 64)
    assert parse_card(whole.replace('["first", "second"]', '["a", "b", "c"]')).constraints[0].max_drop == 0.02


def test_with_samples_the_card_is_whole_and_the_model_is_registered(net: Path, tmp_path: Path) -> None:
    types("model", "init", net, tmp_path / "model")
    data = pixels(tmp_path / "model", "samples.npz")
    said = types("model", "init", net, tmp_path / "model").stdout
    assert "missing" not in said and f"edgefleet model add {tmp_path / 'model'}" in said
    held = tomllib.loads((tmp_path / "model" / "model.toml").read_text())
    assert held["data"] == {"file": "samples.npz", "sha256": sha256(data)}
    assert held["preprocessing"] == {"scale": 1 / 255}
    with running_service(tmp_path / "state") as service, api_of(service) as address:
        added = json.loads(types("model", "add", tmp_path / "model", "--json", EDGEFLEET_API=address).stdout)
    assert added["model"] == "my-net-2@1"


def test_a_model_in_several_files_is_one_in_its_folder(tmp_path: Path) -> None:
    net = outside(tmp_path / "download")
    alone = types("model", "init", net, code=1)
    assert "the model takes a file of its own: name its folder" in alone.output
    for _ in range(2):
        types("model", "init", net, tmp_path / "model")
    assert (tmp_path / "model" / net.name).read_bytes() == classifier().SerializeToString()
    assert sorted(path.name for path in net.parent.iterdir()) == [net.name, "weights"]


def test_where_samples_do_not_fit_yet_the_card_is_written_with_what_it_does_not_say(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    types("model", "init", net, folder)
    frames = np.zeros((120, 8, 8, 3), np.uint8)
    data_file(folder, x=frames, y=np.arange(120) % 3)
    said = types("model", "init", net, folder).stdout
    assert "missing: what the card does not say yet: x is uint8 [120, 8, 8, 3]: give " in " ".join(said.split())
    assert tomllib.loads((folder / "model.toml").read_text())["data"]["file"] == "data.npz"


def test_in_its_own_folder_a_file_stays_where_it_is(net: Path) -> None:
    said = json.loads(types("model", "init", net, "--name", "mine", "--json").stdout)
    assert (said["card"], said["model"]) == (str(net.parent / "model.toml"), "mine@1")
    assert sorted(path.name for path in net.parent.iterdir()) == ["My Net 2.onnx", "model.toml"]


def test_a_card_that_somebody_changed_is_left_alone_unless_forced(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    types("model", "init", net, folder)
    changed = (folder / "model.toml").read_text().replace("version = 1", "version = 7")
    (folder / "model.toml").write_text(changed)
    data = pixels(folder)
    said = types("model", "init", net, folder, code=1).stderr
    assert said == (
        f"edgefleet: {folder / 'model.toml'} is there already: --force writes it anew, or add the lines [data], "
        f'file = "data.npz" and sha256 = "{sha256(data)}" to it\n'
    )
    assert (folder / "model.toml").read_text() == changed
    types("model", "init", net, folder, "--force")
    assert tomllib.loads((folder / "model.toml").read_text())["version"] == 1


def test_another_file_of_the_same_name_is_left_alone_unless_forced(net: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / net.name).write_bytes(b"something else")
    assert "is another file: --force replaces it" in types("model", "init", net, tmp_path / "model", code=1).stderr
    assert [path.name for path in (tmp_path / "model").iterdir()] == [net.name]
    types("model", "init", net, tmp_path / "model", "--force")
    assert (tmp_path / "model" / net.name).read_bytes() == net.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.onnx", None, "does not exist"),
        ("text.onnx", b"hello", "not an ONNX file"),
        ("net.pt", b"hello", "net.pt"),
        ("!.onnx", b"hello", "not an ONNX file"),
    ],
)
def test_what_is_no_model_is_one_line_and_nothing_is_written(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said = types("model", "init", tmp_path / name, tmp_path / "model", code=1).stderr
    assert said.count("\n") == 1 and says in said
    assert not (tmp_path / "model").exists()


def test_a_name_that_is_no_utf_8_is_told_on_one_line_and_nothing_is_written(net: Path, tmp_path: Path) -> None:
    odd, folder = os.fsdecode(b"n\xff\xfet"), tmp_path / "model"
    onnx = net.parent / f"{odd}.onnx"
    try:
        onnx.write_bytes(net.read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    says = "edgefleet: the name of .*n\\?\\?t.* is not UTF-8: rename it\n"
    for given in ([onnx, folder], [onnx, folder, "--name", "mine"], [net, tmp_path / odd]):
        assert re.fullmatch(says, types("model", "init", *given, code=1).stderr), given
    assert not folder.exists() and not (tmp_path / odd).exists()
    folder.mkdir()
    pixels(folder, f"{odd}.npz")
    assert re.fullmatch(says, types("model", "init", net, folder, code=1).stderr)
    assert not (folder / "model.toml").exists()


@pytest.mark.parametrize("name", ["model.toml", "My Net 2.onnx", "data.npz", "other.npz"])
def test_a_link_to_nothing_is_told_and_nothing_is_written_where_it_leads(net: Path, tmp_path: Path, name: str) -> None:
    folder, nowhere = tmp_path / "model", tmp_path / "nowhere"
    folder.mkdir()
    (folder / name).symlink_to(nowhere)
    said = types("model", "init", net, folder, code=1).stderr
    assert said.startswith(f"edgefleet: {folder / name} is a link to nothing: remove it") and said.count("\n") == 1
    assert not nowhere.exists() and [path.name for path in folder.iterdir()] == [name]


def test_a_name_that_is_none_is_refused(net: Path, tmp_path: Path) -> None:
    said = types("model", "init", net, tmp_path / "model", "--name", "Big Net", code=1).stderr
    assert "'Big Net' is not a name: use lower-case letters" in said
    assert not (tmp_path / "model").exists()


def test_without_the_package_that_reads_files_the_extra_is_named(net: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "onnx.py").write_text("raise ModuleNotFoundError(name=__name__)")
    said = types("model", "init", net, tmp_path / "model", code=1, PYTHONPATH=str(tmp_path / "bare")).stderr
    assert said == "edgefleet: 'onnx' is missing here: pip install 'edgefleet[onnx]'\n"
    assert not (tmp_path / "model").exists()


def test_a_task_that_is_told_stands_in_the_card(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for _ in range(2):  # without samples, then with them
        said = types("model", "init", net, folder, "--task", "multilabel").stdout
        assert tomllib.loads((folder / "model.toml").read_text())["task"] == "multilabel"
        assert "classes" not in said.splitlines()[0]
        data_file(folder, x=np.zeros((12, 1, 8, 8), np.uint8), y=np.eye(3, dtype=np.int64)[np.arange(12) % 3])
    assert "missing" not in said


def test_a_task_that_there_is_not_is_refused_before_anything_is_written(net: Path, tmp_path: Path) -> None:
    said = types("model", "init", net, tmp_path / "model", "--task", "detektion", code=1).output
    assert "there is no task 'detektion': classification, detection, " in " ".join(said.split())
    assert not (tmp_path / "model").exists()


def test_the_commands_that_packing_pictures_ends_with_work_in_that_order(net: Path, tmp_path: Path) -> None:
    for n in range(30):
        path = tmp_path / "pictures" / "abc"[n % 3] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), n).save(path)
    out = tmp_path / "model" / "data.npz"
    out.parent.mkdir()
    said = types("data", "images", tmp_path / "pictures", "--size", "8", "--out", out).stdout
    init, add = re.findall(r"`edgefleet (.*?)`", " ".join(said.split()))[-2:]
    assert init.split()[:3] == ["model", "init", "FILE.onnx"]
    types("model", "init", net, *init.split()[3:])
    card = out.parent / "model.toml"
    card.write_text(f'{card.read_text()}\n[preprocessing]\nlayout = "nchw"\ncolour = "grey"\n')
    with running_service(tmp_path / "state") as service, api_of(service) as address:
        added = json.loads(types(*add.split(), "--json", EDGEFLEET_API=address).stdout)
    assert added["model"] == "my-net-2@1"
