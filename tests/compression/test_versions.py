"""A version beside the one before it: both source models are asked the same samples."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tests.plain import PlainClient
from tests.service import api_of, running_service
from typer.testing import CliRunner

from edgefleet_compression.builds.messages import ModelFiles, VersionsRequest, WorkRefused
from edgefleet_compression.builds.versions import compare_versions, why_not_alike
from edgefleet_compression.cache import Cache
from edgefleet_compression.models.source import open_source
from edgefleet_contract.card import ModelCard
from edgefleet_contract.operations import VersionComparison
from edgefleet_operator.cli import app

PROFILE = "eu/rpi4/lte"
RightOrNot = NDArray[np.bool_]


def damaged(folder: Path, into: Path) -> Path:
    """The same model as version 2, with the weights of its first and last class exchanged: it confuses them."""
    made = Path(shutil.copytree(folder, into / "damaged"))
    old = (made / "weights.safetensors").read_bytes()
    weights = load_file(made / "weights.safetensors")
    for name in [name for name in weights if name.startswith("head")]:
        weights[name] = np.ascontiguousarray(weights[name][[2, 1, 0]])
    save_file(weights, made / "weights.safetensors")
    sums = [hashlib.sha256(data).hexdigest() for data in (old, (made / "weights.safetensors").read_bytes())]
    card = (made / "model.toml").read_text().replace(*sums)
    (made / "model.toml").write_text(card.replace('name = "tiny"\n', 'name = "tiny"\nversion = 2\n'))
    return made


def files_of(folder: Path) -> ModelFiles:
    return {path.name: path for path in folder.iterdir()}


def asked(folder: Path, before: Path, cache: Path) -> VersionComparison | WorkRefused:
    return compare_versions(VersionsRequest(files_of(folder), files_of(before), cache))


@pytest.fixture(scope="module")
def right(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RightOrNot, RightOrNot]:
    """Which samples of val the model has right, and which one would that exchanges its first and last class."""
    source = open_source(files_of(tiny_folder), Cache(tmp_path_factory.mktemp("cache")))
    top1, y = source.logits("val").argmax(1), source.data.split("val").labels()
    return top1 == y, 2 - top1 == y


def test_a_damaged_version_is_under_the_one_before_by_the_share_that_it_has_wrong_instead(
    tiny_folder: Path, tmp_path: Path, right: tuple[RightOrNot, RightOrNot]
) -> None:
    worse, (before, now) = damaged(tiny_folder, tmp_path), right
    found = asked(worse, tiny_folder, tmp_path / "cache")
    assert isinstance(found, VersionComparison)
    assert (found.before, found.samples, found.asked) == ("tiny@1", 64, "source models")
    assert (found.score, found.score_before) == (now.mean(), before.mean())
    assert found.gain == pytest.approx(now.mean() - before.mean()) and found.gain != 0
    assert found.gain_ci is not None and found.gain_ci[0] < found.gain < found.gain_ci[1]
    assert found.disagreement is not None and found.disagreement >= abs(found.gain)
    back = asked(tiny_folder, worse, tmp_path / "cache")
    assert isinstance(back, VersionComparison) and back.gain == pytest.approx(-found.gain)


def test_both_are_asked_the_samples_of_the_newer_version(
    tiny_folder: Path, tmp_path: Path, right: tuple[RightOrNot, RightOrNot]
) -> None:
    worse, (before, now) = damaged(tiny_folder, tmp_path), right
    with np.load(tiny_folder / "data.npz") as data:
        arrays = dict(data)
    arrays |= {"x_val": arrays["x_val"][:20], "y_val": arrays["y_val"][:20]}
    card, old = (worse / "model.toml").read_text(), (worse / "data.npz").read_bytes()
    np.savez(worse / "data.npz", **arrays)
    sums = [hashlib.sha256(data).hexdigest() for data in (old, (worse / "data.npz").read_bytes())]
    (worse / "model.toml").write_text(card.replace(*sums))
    found = asked(worse, tiny_folder, tmp_path / "cache")
    assert isinstance(found, VersionComparison)
    assert (found.samples, found.score, found.score_before) == (20, now[:20].mean(), before[:20].mean())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input": {"shape": [1, 9, 9]}}, "tiny@1 have the shape [1, 8, 8], here it is [1, 9, 9]"),
        ({"labels": ["right", "middle", "left"]}, "tiny@1 has other classes, or has them in another order"),
        ({}, None),
    ],
)
def test_versions_that_take_or_give_something_else_are_not_compared(
    tiny_card: ModelCard, change: dict[str, object], said: str | None
) -> None:
    other = ModelCard.model_validate({**tiny_card.model_dump(), "version": 2, **change})
    assert said in (why_not_alike(other, tiny_card) or "") if said else why_not_alike(other, tiny_card) is None


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[str]:
    with running_service(tmp_path_factory.mktemp("service") / "state") as service, api_of(service) as address:
        with closing(PlainClient(address)) as client:
            client.add_model(tiny_folder)
            client.add_model(damaged(tiny_folder, tmp_path_factory.mktemp("worse")))
        yield address


def test_compressing_says_by_how_much_a_version_is_worse_than_the_one_before_it(
    url: str, right: tuple[RightOrNot, RightOrNot]
) -> None:
    def typed(*words: str) -> str:
        done = CliRunner().invoke(app, words, env={"EDGEFLEET_API": url})
        assert done.exit_code == 0, done.output
        return done.stdout

    words = ("--profile", PROFILE, "--recipe", "fp32")
    first = json.loads(typed("compress", "tiny@1", *words, "--json"))["operation"]
    assert first["result"].get("compared") is None
    second = json.loads(typed("compress", "tiny@2", *words, "--json"))["operation"]
    compared = second["result"]["compared"]
    gain = right[1].mean() - right[0].mean()
    line = f"tiny@2 is {abs(gain) * 100:.1f} points {'under' if gain < 0 else 'over'} tiny@1 on val: "
    assert compared["before"] == "tiny@1" and compared["gain"] == pytest.approx(gain)
    assert line in " ".join(typed("compress", "tiny@2", *words).split())
    assert line in " ".join(typed("operation", "show", second["id"]).split())
