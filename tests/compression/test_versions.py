"""A version beside the one before it: both source models are asked the same samples."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tests.plain import PlainClient
from tests.reports import report_with
from tests.service import api_of, running_service
from typer.testing import CliRunner

from edgefleet_compression.builds.messages import ModelFiles, VersionsOutcome, VersionsRequest
from edgefleet_compression.builds.versions import compare_versions, why_not_asked
from edgefleet_compression.cache import Cache
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.samples import Column, Samples
from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.operations import VersionComparison
from edgefleet_controller.service import Service
from edgefleet_operator.cli import app
from edgefleet_protocol.messages import Facts, ReportedModel, Slot
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_tasks.answer_set import AnswerSet

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


def with_less_val(folder: Path) -> Path:
    """The same model with the first 20 samples of val alone."""
    with np.load(folder / "data.npz") as data:
        arrays = dict(data)
    arrays |= {"x_val": arrays["x_val"][:20], "y_val": arrays["y_val"][:20]}
    card, old = (folder / "model.toml").read_text(), (folder / "data.npz").read_bytes()
    np.savez(folder / "data.npz", **arrays)
    sums = [hashlib.sha256(data).hexdigest() for data in (old, (folder / "data.npz").read_bytes())]
    (folder / "model.toml").write_text(card.replace(*sums))
    return folder


def files_of(folder: Path) -> ModelFiles:
    return {path.name: path for path in folder.iterdir()}


def asked(folder: Path, before: Path, cache: Path) -> VersionComparison:
    outcome = compare_versions(VersionsRequest(files_of(folder), files_of(before), (), cache, cache / "answers"))
    assert isinstance(outcome, VersionsOutcome)
    return outcome.compared


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
    assert (found.before, found.samples, found.asked) == ("tiny@1", 64, "source models")
    assert (found.score, found.score_before) == (now.mean(), before.mean())
    assert found.gain == pytest.approx(now.mean() - before.mean()) and found.gain != 0
    assert found.gain_ci is not None and found.gain_ci[0] < found.gain < found.gain_ci[1]
    assert found.disagreement is not None and found.disagreement >= abs(found.gain)
    back = asked(tiny_folder, worse, tmp_path / "cache")
    assert back.gain == pytest.approx(-found.gain)


def test_both_are_asked_the_samples_of_the_newer_version(
    tiny_folder: Path, tmp_path: Path, right: tuple[RightOrNot, RightOrNot]
) -> None:
    worse, (before, now) = with_less_val(damaged(tiny_folder, tmp_path)), right
    found = asked(worse, tiny_folder, tmp_path / "cache")
    assert (found.samples, found.score, found.score_before) == (20, now[:20].mean(), before[:20].mean())


def test_versions_with_other_classes_are_not_compared(tiny_folder: Path, tmp_path: Path) -> None:
    worse = damaged(tiny_folder, tmp_path)
    card = (worse / "model.toml").read_text()
    (worse / "model.toml").write_text(card.replace('"left", "middle", "right"', '"right", "middle", "left"'))
    told = "its classes have other names, or come in another order"
    assert asked(worse, tiny_folder, tmp_path / "cache").not_compared == told


BYTES, FLOATS = np.zeros((4, 1, 8, 8), np.uint8), np.zeros((4, 1, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("columns", "sent", "said"),
    [
        ({"x": BYTES}, "UINT8", None),
        ({"pixels": FLOATS}, "FP32", None),
        ({"x": BYTES[..., :7]}, "UINT8", "samples of tiny@1 have the shape [1, 8, 8], here it is [1, 8, 7]"),
        ({"x": BYTES[:, 0]}, "UINT8", "samples of tiny@1 have the shape [1, 8, 8], here it is [8, 8]"),
        ({"x": FLOATS}, "UINT8", "tiny@1 takes UINT8, and the samples are float32"),
        ({"x": FLOATS.astype(np.str_)}, "FP32", "tiny@1 takes FP32, and the samples are <U32"),
        ({"x": FLOATS, "state": FLOATS}, "FP32", "tiny@1 takes x, and the samples are of x, state"),
    ],
)
def test_samples_that_a_version_does_not_take_are_told(
    columns: dict[str, NDArray[Any]], sent: str, said: str | None
) -> None:
    before = Signature((Tensor("x", sent, (None, 1, 8, 8)),), ())
    samples = Samples({name: Column(values) for name, values in columns.items()})
    assert why_not_asked(samples, before, "tiny@1") == said


WORDS = ("--profile", PROFILE, "--recipe", "fp32")
VERSIONS = (1, 2, 3)


class Lab:
    """A controller with three versions of a model: the second is damaged, the third has less of val."""

    def __init__(self, service: Service, url: str) -> None:
        self.service, self.url = service, url
        self._built: dict[int, Any] = {}

    def built(self, version: int) -> Any:
        """The operation that compressed a version, after those before it."""
        for n in range(1, version + 1):
            if n not in self._built:
                self._built[n] = json.loads(self.typed("compress", f"tiny@{n}", *WORDS, "--json"))["operation"]
        return self._built[version]

    def typed(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, words, env={"EDGEFLEET_API": self.url, "COLUMNS": "200"})
        assert done.exit_code == code, done.output
        return " ".join((done.output if code else done.stdout).split())

    def variant_of(self, version: int) -> str:
        self.built(version)
        [variant] = self.service.store.fleet.registry.variants("tiny", version)
        return variant.id

    def device_runs(self, device: str, version: int) -> None:
        """Let a device of the profile join that answers with a version."""
        facts = Facts(hardware="rpi4", region="eu", link="lte", arch="aarch64", cores=4, ram_mb=4096, simulated=True)
        slot = Slot(variant=self.variant_of(version), manifest="c" * 64, model_version=version, generation=1)
        models = {"tiny": ReportedModel(generation=1, answering=slot, slots=(slot,))}
        devices = self.service.store.fleet.devices
        devices.admit(AdmissionRecord(device=device, accepted_ms=1))
        devices.put_report(device, report_with(facts=facts, models=models), 1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Lab]:
    with running_service(tmp_path_factory.mktemp("service") / "state") as service, api_of(service) as address:
        second = damaged(tiny_folder, tmp_path_factory.mktemp("worse"))
        third = with_less_val(Path(shutil.copytree(second, tmp_path_factory.mktemp("third") / "model")))
        card = (third / "model.toml").read_text()
        (third / "model.toml").write_text(card.replace("version = 2", "version = 3"))
        with closing(PlainClient(address)) as client:
            for folder in (tiny_folder, second, third):
                client.add_model(folder)
        yield Lab(service, address)


def test_compressing_says_by_how_much_a_version_is_worse_than_the_one_before_it(
    lab: Lab, right: tuple[RightOrNot, RightOrNot]
) -> None:
    first, second = lab.built(1), lab.built(2)
    assert first["result"].get("compared") is None
    compared = second["result"]["compared"]
    gain = right[1].mean() - right[0].mean()
    line = f"tiny@2 is {abs(gain) * 100:.1f} points {'under' if gain < 0 else 'over'} tiny@1 on val: "
    assert compared["before"] == "tiny@1" and compared["gain"] == pytest.approx(gain)
    assert line in lab.typed("operation", "show", second["id"])


def test_each_build_keeps_its_answers_to_val_and_asks_what_devices_may_have_of_older_versions(lab: Lab) -> None:
    fleet = lab.service.store.fleet
    lab.built(3)
    variants = {version: lab.variant_of(version) for version in VERSIONS}
    found = {(one.version, one.variant, one.asked): one for one in fleet.registry.answers("tiny")}
    own = {(version, variant, version) for version, variant in variants.items()}
    # The first two share their val: what the first answered to its own is not asked for again.
    assert found.keys() == own | {(1, "", 2), (2, "", 3), (2, variants[2], 3)}
    for one in found.values():
        assert fleet.registry.deliverable_bytes(one.blob) is None and fleet.registry.knows_blob(one.blob)
        kept = AnswerSet.unpack(lab.service.blobs.read(one.blob))
        assert (kept.data, len(kept.answers)) == (one.data, 20 if one.asked == 3 else 64)
        assert kept.spec.names == ("left", "middle", "right")
        assert kept.signature.inputs[0].sample_shape == (1, 8, 8)
    sets = [AnswerSet.unpack(lab.service.blobs.read(found[2, variants[2], asked].blob)) for asked in (2, 3)]
    assert sets[1].answers == sets[0].answers[:20]


def test_a_rollout_of_the_damaged_version_is_refused_unless_it_is_taken_as_it_is(
    lab: Lab, right: tuple[RightOrNot, RightOrNot]
) -> None:
    lab.device_runs("cam-1", 1)
    share = 100 * np.mean(right[0] != right[1])
    lab.built(2)
    for word in ("plan", "start"):
        said = lab.typed("rollout", word, "tiny@2", "--all", code=1)
        assert "tiny@2 is refused: beside tiny@1 its variant " in said and "on 64 samples of val" in said
        assert "take it as it is with --accept-drop" in said
    assert float(said.split("disagrees by ")[1].split()[0]) >= share - 0.1
    planned = lab.typed("rollout", "plan", "tiny@2", "--all", "--accept-drop")
    assert "fp32 beside fp32 of tiny@1, on 1 device: disagrees by" in planned
