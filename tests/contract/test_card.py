"""A card says what a model is; what could run code or lead out of the folder is refused."""

from hashlib import sha256
from pathlib import Path

import pytest
from tests.deep_toml import UNUSABLE

from edgefleet_contract.card import load_card, parse_card
from edgefleet_contract.errors import CardError

DIGEST = "0" * 64


def card_text(weights: str = "w.safetensors", data: str = "d.npz", more: str = "") -> str:
    return (
        f'name = "m"\nlabels = ["a", "b"]\n{more}\n[architecture]\nname = "resnet_s"\n'
        f"[weights]\nfile = '{weights}'\nsha256 = '{DIGEST}'\n[data]\nfile = '{data}'\nsha256 = '{DIGEST}'\n"
        "[input]\nshape = [1, 28, 28]\n"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder; nobody reads what its files hold."""
    files = {"weights.safetensors": b"weights", "data.npz": b"data"}
    made = tmp_path / "own"
    made.mkdir()
    text = card_text(*files)
    for name, data in files.items():
        (made / name).write_bytes(data)
        text = text.replace(DIGEST, sha256(data).hexdigest(), 1)
    (made / "model.toml").write_text(text)
    return made


def test_a_card_is_read_with_its_defaults(folder: Path) -> None:
    card = load_card(folder)
    assert (card.name, card.version, card.task, card.door) == ("m", 1, None, "architecture")
    assert card.preprocessing.scale is None
    assert set(card.files) == {"weights.safetensors", "data.npz"}


@pytest.mark.parametrize("weights", ["w.pt", "w.pth", "w.pt2", "w.pkl", "w.bin", "deep/w.ckpt", "W.PT"])
def test_pickles_are_refused_with_the_reason(weights: str) -> None:
    with pytest.raises(CardError, match="loading this format runs code"):
        parse_card(card_text(weights=weights))


@pytest.mark.parametrize("weights", ["../w.safetensors", "/w.safetensors", "a/../../w.safetensors", "a\\w.safetensors"])
def test_a_path_out_of_the_folder_is_refused(weights: str) -> None:
    with pytest.raises(CardError, match="leads out of the model's folder"):
        parse_card(card_text(weights=weights))


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "data.npz").rename(tmp_path / "elsewhere.npz")
    (folder / "data.npz").symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(CardError, match="link to outside"):
        load_card(folder)


@pytest.mark.parametrize(
    ("weights", "data", "suffix"),
    [("w.onnx", "d.npz", ".safetensors"), ("w.safetensors", "d.csv", ".npz")],
)
def test_another_format_is_refused_with_the_one_to_use(weights: str, data: str, suffix: str) -> None:
    with pytest.raises(CardError, match=f"must end in {suffix}"):
        parse_card(card_text(weights=weights, data=data))


def test_a_key_that_nothing_reads_is_refused_by_name() -> None:
    with pytest.raises(CardError, match=r"'lables' is not known here: did you mean 'labels'\?"):
        parse_card(card_text(more='lables = ["a"]'))
    with pytest.raises(CardError, match=r"'constraints.0.p95ms' is not known here: did you mean 'p95_ms'\?"):
        parse_card(card_text(more="constraints = [{p95ms = 3}]"))


def test_text_that_is_no_toml_is_refused() -> None:
    with pytest.raises(CardError, match="not TOML"):
        parse_card("name = ")


@pytest.mark.parametrize("kind", UNUSABLE)
def test_toml_that_nobody_can_work_with_is_refused(kind: str) -> None:
    with pytest.raises(CardError, match="not TOML"):
        parse_card(UNUSABLE[kind])


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"has no model\.toml"):
        load_card(tmp_path)


def test_a_file_with_another_content_is_refused(folder: Path) -> None:
    with (folder / "data.npz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(CardError, match=r"'data\.npz' has sha256"):
        load_card(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CardError, match=r"'weights\.safetensors' is named in model\.toml but missing"):
        load_card(folder)


def test_every_fault_of_a_card_is_told_at_once() -> None:
    with pytest.raises(CardError) as refused:
        parse_card(card_text(more='lables = ["a"]\nversion = 0'))
    assert "lables" in str(refused.value) and "version" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("wrong", ['version = "2"', "version = 2.5", "version = true", "description = 3"])
def test_a_value_of_another_type_is_refused_not_read_as_if_it_were(wrong: str) -> None:
    with pytest.raises(CardError, match=wrong.partition(" ")[0]):
        parse_card(card_text(more=wrong))


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(CardError, match="labels has 'a' twice"):
        parse_card(card_text().replace('labels = ["a", "b"]', 'labels = ["a", "b", "a"]'))


@pytest.mark.parametrize("label", ["", "z" * 201])
def test_a_class_that_no_manifest_can_name_is_refused(label: str) -> None:
    with pytest.raises(CardError, match="labels"):
        parse_card(card_text().replace('"b"', f'"{label}"'))


def test_a_card_that_is_no_utf8_is_named(folder: Path) -> None:
    (folder / "model.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CardError, match=r"model\.toml is not UTF-8"):
        load_card(folder)


def test_a_file_that_is_a_loop_of_links_is_named(folder: Path) -> None:
    (folder / "data.npz").unlink()
    (folder / "data.npz").symlink_to("data.npz")
    with pytest.raises(CardError, match=r"data\.npz"):
        load_card(folder)
