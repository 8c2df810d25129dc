"""For every task: a damaged version of a model that was brought as a file is refused, by what its build keeps."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.any_model.brought import BOXES, bring, files_of
from tests.any_model.small_models import MODELS, Damage, SmallModel
from tests.plain import PlainClient
from tests.reports import report_with
from tests.service import api_of, running_service
from typer.testing import CliRunner

from edgefleet_compression.builds.messages import ModelFiles, VersionsOutcome, VersionsRequest
from edgefleet_compression.builds.versions import SOURCE, compare_versions
from edgefleet_compression.cache import Cache
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.models.splits.data import labels_in
from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import Gate
from edgefleet_controller.rollouts.versions_alike import refusal
from edgefleet_controller.service import Service
from edgefleet_operator.cli import app
from edgefleet_protocol.messages import Facts, ReportedModel, Slot
from edgefleet_tasks.answer_set import AnswerSet
from edgefleet_tasks.pairing import PairOnVal, paired

TASKS = {make().task: make() for make in MODELS}


def card_of(model: SmallModel, version: int) -> str:
    boxes = BOXES if model.task == "detection" else ""
    return f'version = {version}\ntask = "{model.task}"\n{boxes}'


def brought(model: SmallModel, into: Path) -> tuple[ModelFiles, Path]:
    """The first version, and its folder."""
    folder = into / "1"
    folder.mkdir()
    return bring(model, folder, card_of(model, 1)), folder


def next_version(model: SmallModel, first: Path, change: Damage, number: int = 2) -> ModelFiles:
    """A later version with the same samples, whose weights were changed."""
    folder = Path(shutil.copytree(first, first.with_name(str(number))))
    model.write(folder / "model.onnx", change)
    return files_of(folder, card_of(model, number))


def why_refused(first: ModelFiles, second: ModelFiles, work: Path) -> str | None:
    """What a plan says of the second version, by the answers of both sources."""
    outcome = compare_versions(VersionsRequest(second, first, (), work / "cache", work / "answers"))
    assert isinstance(outcome, VersionsOutcome), outcome
    source = open_source(second, Cache(work / "cache"))
    old = AnswerSet.unpack(outcome.kept[SOURCE].path.read_bytes())
    new = AnswerSet(source.task, source.spec, source.signature, old.data, tuple(source.reduced("val")))
    found = paired(old, new, labels_in(second["data.npz"], "val"))
    assert isinstance(found, PairOnVal), found
    assert outcome.compared.disagreement == pytest.approx(found.disagreement.value)
    return refusal(found, Gate(), "score")


def trained_on(weights: Any) -> None:
    weights["w2"] = (weights["w2"] * 1.005).astype("f4")


@pytest.mark.parametrize("task", TASKS)
def test_of_two_versions_the_damaged_one_is_refused_alone(task: str, tmp_path: Path) -> None:
    model = TASKS[task]
    first, folder = brought(model, tmp_path)
    damage = next(iter(model.damages.values()))
    assert "disagrees by" in (why_refused(first, next_version(model, folder, damage), tmp_path / "a") or "")
    assert why_refused(first, next_version(model, folder, trained_on, 3), tmp_path / "b") is None


class Shop:
    """Someone at the command line of a controller with one device."""

    def __init__(self, service: Service, url: str) -> None:
        self.service, self.url = service, url

    def typed(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, words, env={"EDGEFLEET_API": self.url, "COLUMNS": "200"})
        assert done.exit_code == code, done.output
        return " ".join((done.output if code else done.stdout).split())

    def device_runs(self, version: int) -> None:
        [variant] = self.service.store.fleet.registry.variants("small", version)
        facts = Facts(hardware="rpi4", region="eu", link="lte", arch="aarch64", cores=4, ram_mb=4096, simulated=True)
        slot = Slot(variant=variant.id, manifest="c" * 64, model_version=version, generation=1)
        told = report_with(facts=facts, models={"small": ReportedModel(generation=1, answering=slot, slots=(slot,))})
        self.service.store.fleet.devices.admit(AdmissionRecord(device="cam-1", accepted_ms=1))
        features = frozenset(need for one in self.service.store.fleet.registry.variants("small") for need in one.needs)
        self.service.store.fleet.devices.put_report("cam-1", told.model_copy(update={"features": features}), 1)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with running_service(tmp_path / "state") as service, api_of(service) as address:
        yield Shop(service, address)


@pytest.mark.slow  # the one above has the same without a service
@pytest.mark.parametrize("task", TASKS)
def test_the_whole_way_from_two_files_to_a_refused_plan(task: str, shop: Shop, tmp_path: Path) -> None:
    model = TASKS[task]
    _, folder = brought(model, tmp_path)
    next_version(model, folder, next(iter(model.damages.values())))
    with closing(PlainClient(shop.url)) as client:
        for version in (1, 2):
            client.add_model(tmp_path / str(version))
    for version in (1, 2):
        words = ("--profile", "eu/rpi4/lte", "--recipe", "as-brought", "--json")
        built = json.loads(shop.typed("compress", f"small@{version}", *words))
    assert built["operation"]["result"]["compared"]["before"] == "small@1"
    shop.device_runs(1)
    for word in ("plan", "start"):
        said = shop.typed("rollout", word, "small@2", "--all", code=1)
        assert "small@2 is refused: beside small@1 its variant " in said and "of val" in said
    assert "accepted all the same" in shop.typed("rollout", "plan", "small@2", "--all", "--accept-drop")
