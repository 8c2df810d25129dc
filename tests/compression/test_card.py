"""A card says what a model is; what could run code or lead out of the folder is refused."""

import shutil
from pathlib import Path

import pytest

from edgefleet_compression.errors import CardError
from edgefleet_compression.models.card import ModelCard, load_card, parse_card

DIGEST = "0" * 64


def card_text(weights: str = "w.safetensors", data: str = "d.npz", more: str = "") -> str:
    return (
        f'name = "m"\nlabels = ["a", "b"]\n{more}\n[architecture]\nname = "resnet_s"\n'
        f"[weights]\nfile = '{weights}'\nsha256 = '{DIGEST}'\n[data]\nfile = '{data}'\nsha256 = '{DIGEST}'\n"
        "[input]\nshape = [1, 28, 28]\n"
    )


@pytest.fixture
def own_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "own"))


def test_a_card_is_read_with_its_defaults(tiny_card: ModelCard) -> None:
    assert (tiny_card.name, tiny_card.version, tiny_card.task, tiny_card.door) == (
        "tiny", 1, "classification", "architecture")  # fmt: skip
    assert tiny_card.preprocessing.scale == pytest.approx(1 / 255)
    assert set(tiny_card.files) == {"weights.safetensors", "data.npz"}


@pytest.mark.parametrize("weights", ["w.pt", "w.pth", "w.pt2", "w.pkl", "w.bin", "deep/w.ckpt", "W.PT"])
def test_pickles_are_refused_with_the_reason(weights: str) -> None:
    with pytest.raises(CardError, match="loading this format runs code"):
        parse_card(card_text(weights=weights))


@pytest.mark.parametrize("weights", ["../w.safetensors", "/w.safetensors", "a/../../w.safetensors", "a\\w.safetensors"])
def test_a_path_out_of_the_folder_is_refused(weights: str) -> None:
    with pytest.raises(CardError, match="leads out of the model's folder"):
        parse_card(card_text(weights=weights))


def test_a_link_out_of_the_folder_is_refused(own_folder: Path, tmp_path: Path) -> None:
    (own_folder / "data.npz").rename(tmp_path / "elsewhere.npz")
    (own_folder / "data.npz").symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(CardError, match="link out of"):
        load_card(own_folder)


@pytest.mark.parametrize(
    ("weights", "data", "suffix"),
    [("w.onnx", "d.npz", ".safetensors"), ("w.safetensors", "d.csv", ".npz")],
)
def test_another_format_is_refused_with_the_one_to_use(weights: str, data: str, suffix: str) -> None:
    with pytest.raises(CardError, match=f"must end in {suffix}"):
        parse_card(card_text(weights=weights, data=data))


def test_a_key_that_nothing_reads_is_refused_by_name() -> None:
    with pytest.raises(CardError, match="lables"):
        parse_card(card_text(more='lables = ["a"]'))


def test_text_that_is_no_toml_is_refused() -> None:
    with pytest.raises(CardError, match="no TOML"):
        parse_card("name = ")


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"holds no model\.toml"):
        load_card(tmp_path)


def test_a_file_with_another_content_is_refused(own_folder: Path) -> None:
    with (own_folder / "data.npz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(CardError, match=r"'data\.npz' has sha256"):
        load_card(own_folder)


def test_a_missing_file_is_named(own_folder: Path) -> None:
    (own_folder / "weights.safetensors").unlink()
    with pytest.raises(CardError, match=r"'weights\.safetensors' is named by model\.toml and isn't there"):
        load_card(own_folder)
