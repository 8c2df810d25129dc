"""A built variant becomes blobs and manifests: one for each form that agents know, of the same variant."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cards import card
from tests.outcomes import outcome, recorded

from edgefleet_compression.builds.messages import RecordedAnswers
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.models.publishing import Publisher
from edgefleet_controller.records import ModelRecord, VariantRecord
from edgefleet_controller.store import Store
from edgefleet_controller.store.memory import new_store
from edgefleet_protocol.encoding import compress_file
from edgefleet_protocol.manifest import MAX_MANIFEST_BYTES, Manifest, verify
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import PROBABILITIES, Spec
from edgefleet_protocol.state import SequenceState, StatePair

Publish = Callable[..., VariantRecord]


@pytest.fixture
def store() -> Store:
    return new_store()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "blobs")


@pytest.fixture
def publish(store: Store, blobs: BlobFolder, tmp_path: Path) -> Publish:
    path = tmp_path / "variant.onnx"
    path.write_bytes(b"an ONNX file")
    encoding = tmp_path / "encoding"
    compress_file(path, encoding)
    model = ModelRecord(name="fashion", version=1, files={}, card=card(), created_ms=0)

    def make(answers: RecordedAnswers, **changed: Any) -> VariantRecord:
        made = outcome(onnx_path=path, encoding_path=encoding, recorded=answers, **changed)
        return Publisher(store.fleet, blobs).publish(model, shipped_recipes()["fp32"], made, instruction_sets=())

    return make


def manifests(variant: VariantRecord, blobs: BlobFolder) -> list[Manifest]:
    return [verify(blobs.read(form.manifest), form.manifest) for form in variant.forms]


def test_the_newest_form_names_the_answers_and_the_older_one_holds_them(
    publish: Publish, store: Store, blobs: BlobFolder
) -> None:
    variant = publish(recorded())
    newest, older = manifests(variant, blobs)
    assert newest.core == older.core and newest.variant == older.variant == variant.id
    assert newest.answers and blobs.read(newest.answers.blob.sha256) == b"answers"
    assert newest.core.golden and blobs.read(newest.core.golden.sha256) == b"golden set"
    assert (newest.expected, newest.needs, variant.needs) == (None, ("reduced-answers",), ("reduced-answers",))
    assert (newest.answers.recorded_on, newest.answers.provider) == ("x86-vnni", "CPUExecutionProvider")
    assert (older.answers, older.needs) == (None, ())
    assert older.expected and older.expected.probabilities == ((0.25, 0.75),) * 4
    assert older.expected.min_same_top1 == 4
    for blob in (*newest.tested_with, *(b for e in newest.encodings for b in (e.blob, e.chunk_hashes))):
        assert store.fleet.registry.deliverable_bytes(blob.sha256) == blob.size_bytes
    for form in variant.forms:
        assert store.fleet.registry.deliverable_bytes(form.manifest) == form.size_bytes
    assert variant.golden == recorded().size


def test_a_file_that_needs_a_newer_onnxruntime_says_so_to_devices_and_rollouts(
    publish: Publish, blobs: BlobFolder
) -> None:
    variant = publish(recorded(), min_onnxruntime="1.23")
    assert [manifest.min_onnxruntime for manifest in manifests(variant, blobs)] == ["1.23", "1.23"]
    assert [manifest.needs for manifest in manifests(variant, blobs)] == [("reduced-answers",), ()]
    assert [form.needs for form in variant.forms] == [
        ("reduced-answers", "onnxruntime-1.23"),
        ("onnxruntime-1.23",),
    ], "no agent reports it as a feature: it follows from the version that it reports"


def test_delivery_counts_golden_set_and_answers(publish: Publish, blobs: BlobFolder) -> None:
    small, large = publish(recorded(answers=b"a")), publish(recorded(answers=b"a" * 1001))
    chunk = min(small.delivery_bytes)
    grown = large.delivery_bytes[chunk] - small.delivery_bytes[chunk]
    assert grown == 1000 + large.manifest_bytes - small.manifest_bytes


@pytest.mark.parametrize(
    "answers",
    [
        recorded(probabilities=None),
        recorded(probabilities=((0.125,) * 8,) * (MAX_MANIFEST_BYTES // 48)),
    ],
    ids=["none were recorded", "more than a manifest may have"],
)
def test_what_older_agents_do_not_take_is_published_in_the_newest_form_alone(
    publish: Publish, blobs: BlobFolder, answers: RecordedAnswers
) -> None:
    variant = publish(answers)
    assert (variant.older_manifest, len(variant.forms)) == (None, 1)
    (newest,) = manifests(variant, blobs)
    assert newest.answers


def test_how_answers_are_meant_is_part_of_what_a_variant_is(publish: Publish, blobs: BlobFolder) -> None:
    logits, probabilities = publish(recorded()), publish(recorded(spec=Spec(PROBABILITIES)))
    assert logits.id != probabilities.id
    assert [m.core.spec for m in manifests(logits, blobs)] == [None, None], "as version 0.1.0 wrote it"
    assert [m.core.spec for m in manifests(probabilities, blobs)] == [Spec(PROBABILITIES)] * 2


def test_a_model_with_state_has_it_in_the_core_and_no_form_for_agents_of_old(
    publish: Publish, blobs: BlobFolder
) -> None:
    h = Tensor("h", "FP32", (1, 1, 64), batched=False)
    signature = Signature((Tensor("x", "FP32", (1, 16)), h), (replace(h, name="hn"), Tensor("y", "FP32", (1, 3))))
    state = SequenceState((StatePair("h", "hn"),), carries=True, idle_s=5.0)
    variant = publish(recorded(probabilities=None), signature=signature, state=state)
    (only,) = manifests(variant, blobs)
    assert (only.core.state, only.core.signature, only.core.wrong_state) == (state, signature, None)
    assert set(variant.needs) >= {"state", "tensors"}
