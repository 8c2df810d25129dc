"""A variant's lineage, and making it again from it, against a real service with real builds."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import onnx
import pytest
from tests.plain import PlainClient
from tests.service import api_of, running_service
from typer.testing import CliRunner, Result

from edgefleet_contract.operations import AnswerComparison, RebuildResult
from edgefleet_contract.recipes import StepTable
from edgefleet_controller.records import VariantRecord
from edgefleet_controller.service import Service
from edgefleet_operator.cli import app
from edgefleet_operator.errors import ApiError
from edgefleet_protocol.manifest import BlobRef, Manifest, verify


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Service, tiny_folder: Path) -> Iterator[PlainClient]:
    """A controller that has compressed the tiny model by a recipe that trains."""
    with api_of(service) as address, closing(PlainClient(address)) as opened:
        opened.add_model(tiny_folder)
        body = {"model": "tiny@1", "profiles": ["eu/rpi4/lte"], "recipes": ["pruned-w8"]}
        ended(opened, opened.post("/builds", body))
        yield opened


def ended(client: PlainClient, operation: dict[str, Any]) -> dict[str, Any]:
    while operation["state"] == "running":
        time.sleep(0.1)
        operation = client.get(f"/operations/{operation['id']}")
    assert operation["error"] is None
    return operation


def types(client: PlainClient, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, words, env={"EDGEFLEET_API": client.url, "COLUMNS": "300"})
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done


def built(service: Service, recipe: str) -> VariantRecord:
    return next(v for v in service.store.fleet.registry.variants("tiny", 1) if v.recipe == recipe)


def rebuilt(client: PlainClient, variant: str) -> dict[str, Any]:
    result: dict[str, Any] = ended(client, client.post(f"/variants/{variant}/rebuilds", None))["result"]
    return result


@pytest.fixture
def remembered_otherwise(service: Service) -> Iterator[Any]:
    """Let the store remember a variant otherwise than it was, for one test."""
    kept: list[VariantRecord] = []

    def change(variant: VariantRecord, **fields: Any) -> None:
        kept.append(variant)
        service.store.fleet.registry.put_variants([variant.model_copy(update=fields)], [])

    yield change
    service.store.fleet.registry.put_variants(kept, [])


def test_a_variant_shows_what_it_was_made_of_and_with(client: PlainClient, service: Service) -> None:
    variant = built(service, "pruned-w8")
    shown = types(client, "variant", "show", variant.id).stdout
    assert variant.lineage is not None
    for said in (variant.lineage.source, *variant.lineage.files.values(), *variant.lineage.splits.values()):
        assert said in shown
    assert variant.lineage.splits.keys() == {"train", "calib", "val", "test"}
    for word in ("seed", "onnxruntime", "zstd", "1 thread", "revision", str(variant.steps[1].digest)[:12], "finetune"):
        assert word in shown


@pytest.mark.slow
def test_a_trained_variant_comes_out_the_same_again_without_a_cache(client: PlainClient, service: Service) -> None:
    variant, before = built(service, "pruned-w8"), len(service.store.fleet.registry.variants())
    shown = types(client, "variant", "rebuild", variant.id[:12]).stdout
    assert "equal: the same bytes" in shown and "differs" not in shown.replace("p50_ms", "")[: shown.index("p50_ms")]
    result = service.store.fleet.operations.all()[-1].result
    assert isinstance(result, RebuildResult) and result.variant == variant.id
    assert result.verdict == "equal" and result.changed == {} and result.reasons == []
    assert result.encoding.then == result.encoding.now
    assert result.answers == AnswerComparison(samples=64, agreement=1, same_top1=64, largest_difference=0.0)
    assert len(service.store.fleet.registry.variants()) == before, "nothing that came out was published"


@pytest.mark.slow  # tests/compression/test_lineage.py has the same without a service
def test_another_training_comes_out_different_and_the_step_is_named(
    client: PlainClient, service: Service, remembered_otherwise: Any
) -> None:
    variant = built(service, "pruned-w8")
    assert variant.lineage is not None
    remembered_otherwise(variant, lineage=variant.lineage.model_copy(update={"seed": 1}))
    shown = types(client, "variant", "rebuild", variant.id, code=1).stdout
    assert "different" in shown and "step 2, finetune, made something else" in shown
    assert "of 64 test samples have the same top-1" in shown


@pytest.mark.slow
def test_other_bytes_that_answer_the_same_are_told_apart_from_another_model(
    client: PlainClient, service: Service, remembered_otherwise: Any
) -> None:
    variant = built(service, "pruned-w8")
    manifest = verify(service.blobs.read(variant.manifest), variant.manifest)
    model = onnx.load_from_string(service.blobs.read(manifest.core.onnx.sha256))
    model.doc_string = "the same graph"
    other = model.SerializeToString()
    core = manifest.core.model_copy(update={"onnx": BlobRef(sha256=service.blobs.put(other), size_bytes=len(other))})
    fields = manifest.model_dump(exclude={"variant", "core"})
    named = service.blobs.put(Manifest(core=core, **fields).to_bytes())
    remembered_otherwise(variant, manifest=named)
    result = rebuilt(client, variant.id)
    assert result["verdict"] == "equal_answers"
    assert result["answers"]["same_top1"] == 64 and result["onnx"]["then"] != result["onnx"]["now"]


def test_what_cannot_be_made_again_is_refused_with_what_to_do(
    client: PlainClient, service: Service, remembered_otherwise: Any
) -> None:
    variant = built(service, "pruned-w8")
    remembered_otherwise(variant, lineage=None)
    assert "not recorded" in types(client, "variant", "show", variant.id).stdout
    assert "compress tiny@1 again" in types(client, "variant", "rebuild", variant.id, code=1).stderr
    assert variant.lineage is not None
    gone = variant.lineage.recipe.model_copy(update={"steps": (StepTable(step="hypnotize"),)})
    remembered_otherwise(variant, lineage=variant.lineage.model_copy(update={"recipe": gone}))
    assert "no step 'hypnotize'" in types(client, "variant", "rebuild", variant.id, code=1).stderr
    with pytest.raises(ApiError, match="no variant"):
        client.post("/variants/nothing/rebuilds", None)
