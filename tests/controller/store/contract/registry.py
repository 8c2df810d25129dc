"""Models, variants, choices, operations, and who names what."""

from collections.abc import Callable

import pytest
from tests.cards import card

from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.errors import NotFound
from edgefleet_controller.records import (
    AnswersRecord,
    ChoiceRecord,
    DesiredRecord,
    ManifestForm,
    ModelRecord,
    RolloutRecord,
    VariantRecord,
)
from edgefleet_controller.store import FleetStore
from edgefleet_protocol.messages import Attempt, ReportedModel, ReportedState, Slot

MANIFEST = "c" * 64


def model(name: str = "fashion", version: int = 1, **files: str) -> ModelRecord:
    return ModelRecord(name=name, version=version, files=files, card=card(), created_ms=1)


def choice(profile: str, variant: str | None = "b" * 64, version: int = 1) -> ChoiceRecord:
    return ChoiceRecord(model="fashion", version=version, profile=profile, variant=variant, reasons={"b": "small"})


def answers(version: int, variant: str = "b" * 64, asked: int = 2, data: str = "d" * 64) -> AnswersRecord:
    blob = f"{version}{asked}{variant[:1]}{data[:1]}"
    return AnswersRecord(model="fashion", version=version, variant=variant, data=data, asked=asked, blob=blob)


def desired(device: str, manifest: str | None = MANIFEST, model: str = "fashion", generation: int = 1) -> DesiredRecord:
    return DesiredRecord(
        **{"device": device, "model": model, "generation": generation, "manifest": manifest, "manifest_bytes": 1},
        **{"rollout": None, "activate": True, "trial_s": 1.5},
    )


def operation(id_: str, target: str = "fashion@1", state: str = "running") -> OperationRecord:
    given = {"id": id_, "kind": "compress", "target": target, "state": state, "created_ms": 1, "changed_ms": 1}
    return OperationRecord.model_validate(given)


class RegistryContract:
    """What every kind of store must do with what was registered and built."""

    def test_a_blob_is_deliverable_only_if_it_was_made_so_and_stays_so(self, fleet: FleetStore) -> None:
        assert not fleet.registry.knows_blob("a")
        fleet.registry.put_blob("a", 5, deliverable=False)
        assert fleet.registry.knows_blob("a")
        assert fleet.registry.deliverable_bytes("a") is None
        fleet.registry.put_blob("a", 5, deliverable=True)
        fleet.registry.put_blob("a", 5, deliverable=False)
        assert fleet.registry.deliverable_bytes("a") == 5
        assert fleet.references.blobs() == {"a"}
        fleet.references.forget_blob("a")
        assert not fleet.registry.knows_blob("a")

    def test_what_is_not_there_is_said(self, fleet: FleetStore) -> None:
        for ask, told in (
            (lambda: fleet.registry.model("m", 1), "no model m@1: "),
            (lambda: fleet.rollouts.get("x"), "no rollout x"),
            (lambda: fleet.devices.get("d"), "no device d has reported yet"),
            (lambda: fleet.segments.get("s"), "no segment 's': save it first"),
            (lambda: fleet.segments.remove("s"), "no segment 's'"),
            (lambda: fleet.operations.get("o"), "no operation o"),
        ):
            with pytest.raises(NotFound, match=told):
                ask()
        assert fleet.registry.find_model("m", 1) is None

    def test_models_are_by_name_and_version_and_the_last_put_counts(self, fleet: FleetStore) -> None:
        for name, version in (("b", 10), ("b", 9), ("a", 1)):
            fleet.registry.put_model(model(name, version, data="d"))
        assert [m.ref for m in fleet.registry.models()] == ["a@1", "b@9", "b@10"]
        fleet.registry.put_model(model("a", 1, data="e"))
        assert fleet.registry.model("a", 1) == model("a", 1, data="e")
        assert fleet.references.model_files() == {"d", "e"}

    def test_variants_are_in_the_order_in_which_they_were_put_last(
        self, fleet: FleetStore, variant: Callable[..., VariantRecord]
    ) -> None:
        first, second = variant(id="2" * 64), variant(id="1" * 64)
        later, other = variant(id="3" * 64, version=2), variant(id="4" * 64, model="other")
        fleet.registry.put_variants([first, second, later, other], [])
        assert fleet.registry.variants() == [first, second, later, other]
        assert fleet.registry.variants("fashion", 1) == [first, second]
        assert fleet.registry.variants("fashion") == [first, second, later]
        fleet.registry.put_variants([first], [])
        assert fleet.registry.variants("fashion", 1) == [second, first]

    def test_choices_are_by_profile_and_the_last_put_counts(self, fleet: FleetStore) -> None:
        fleet.registry.put_variants([], [choice("eu/rpi5/lte"), choice("eu/rpi4/lte"), choice("eu/rpi4/lte", None, 2)])
        fleet.registry.put_variants([], [choice("eu/rpi5/lte", None)])
        assert fleet.registry.choices("fashion", 1) == [choice("eu/rpi4/lte"), choice("eu/rpi5/lte", None)]

    def test_the_forms_of_a_manifest_are_told_whichever_of_them_is_named(
        self, fleet: FleetStore, variant: Callable[..., VariantRecord]
    ) -> None:
        older = {"older_manifest": "f" * 64, "older_manifest_bytes": 20}
        two = variant(id="1" * 64, manifest="d" * 64, needs=("b", "reduced-answers"), **older)
        fleet.registry.put_variants([variant(), two], [])
        forms = (ManifestForm("d" * 64, 10, ("b", "reduced-answers")), ManifestForm("f" * 64, 20, ("b",)))
        assert two.forms == forms
        assert fleet.registry.forms([MANIFEST, "d" * 64, None, "e" * 64]) == {
            MANIFEST: (ManifestForm(MANIFEST, 10),),
            "d" * 64: forms,
        }
        assert fleet.registry.forms(["f" * 64]) == {"f" * 64: forms}
        assert fleet.registry.variants() == [variant(), two]

    def test_operations_are_by_id_and_the_last_put_counts(self, fleet: FleetStore) -> None:
        fleet.operations.put(operation("2"))
        fleet.operations.put(operation("1"))
        ended = operation("2", state="succeeded")
        fleet.operations.put(ended)
        assert fleet.operations.all() == [operation("1"), ended]
        assert fleet.operations.get("2") == ended

    def test_a_card_that_would_be_refused_today_is_still_read(self, fleet: FleetStore) -> None:
        older = model("older")
        card = older.card.model_copy(update={"labels": ("a", "a", "", "z" * 201)})
        fleet.registry.put_model(older.model_copy(update={"card": card}))
        assert [m.card.labels for m in fleet.registry.models()] == [("a", "a", "", "z" * 201)]

    def test_segments_are_by_name_and_the_last_put_counts(self, fleet: FleetStore) -> None:
        for name, selector in (("b", "x=1"), ("a", "x=2"), ("b", "x=3")):
            fleet.segments.put(SegmentRecord(name=name, selector=selector))
        assert [(s.name, s.selector) for s in fleet.segments.all()] == [("a", "x=2"), ("b", "x=3")]
        assert fleet.segments.get("b").selector == "x=3"
        fleet.segments.remove("b")
        assert [s.name for s in fleet.segments.all()] == ["a"]

    def test_desired_states_are_by_model_and_the_last_put_counts(self, fleet: FleetStore) -> None:
        fleet.desired.put(desired("d", model="b"), desired("d", model="a"), desired("e"))
        fleet.desired.put(desired("d", model="b", generation=2))
        mine = [desired("d", model="a"), desired("d", model="b", generation=2)]
        assert fleet.desired.of("d") == mine
        assert fleet.desired.of_each(["e", "d", "nobody"]) == {"d": mine, "e": [desired("e")]}
        assert fleet.desired.of_model("b", ["d", "e"]) == {"d": mine[1]}

    def test_a_build_under_way_is_of_a_model_or_of_any(self, fleet: FleetStore) -> None:
        fleet.operations.put(operation("1", state="failed"))
        assert not fleet.references.building()
        fleet.operations.put(operation("2", "fashion@2"))
        assert fleet.references.building() and fleet.references.building("fashion@2")
        assert not fleet.references.building("fashion@1")

    def test_manifests_are_named_by_variants_devices_and_rollouts_in_progress(
        self,
        fleet: FleetStore,
        variant: Callable[..., VariantRecord],
        rollout: Callable[..., RolloutRecord],
        execution: Callable[..., ExecutionRecord],
    ) -> None:
        fleet.registry.put_variants([variant(manifest="built", older_manifest="built for older")], [])
        fleet.desired.put(desired("d", "wanted"), desired("e", None))
        fleet.rollouts.put(rollout("staging"))
        fleet.rollouts.put_executions([execution("d", manifest="to", previous_manifest="from"), execution("e")])
        assert fleet.references.manifests() == {"built", "built for older", "wanted", "to", "from", MANIFEST}
        fleet.rollouts.put(rollout("passed").model_copy(update={"state": "completed"}))
        assert fleet.references.manifests() == {"built", "built for older", "wanted"}

    def test_manifests_are_named_by_what_devices_hold_run_and_were_given(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        def slot(manifest: str) -> Slot:
            return Slot(variant="b" * 64, manifest=manifest * 64, model_version=1, generation=1)

        holding = ReportedModel(slots=(slot("1"), slot("2")), answering=slot("3"))
        given = ReportedModel(attempt=Attempt(generation=1, manifest="4" * 64, phase="downloading"))
        none = ReportedModel(attempt=Attempt(generation=1, phase="downloading"))
        fleet.devices.put_report("d", reported(models={"a": holding, "b": given, "c": none}), 1)
        assert fleet.references.reported_manifests() == {number * 64 for number in "1234"}

    def test_a_model_is_named_by_the_oldest_rollout_that_brings_it_or_may_go_back_to_it(
        self,
        fleet: FleetStore,
        variant: Callable[..., VariantRecord],
        rollout: Callable[..., RolloutRecord],
        execution: Callable[..., ExecutionRecord],
    ) -> None:
        fleet.registry.put_variants([variant(manifest="newest form", older_manifest="first")], [])
        bringing = rollout("staging").model_copy(update={"id": "03"})
        newer = bringing.spec.model_copy(update={"version": 2})
        fleet.rollouts.put(bringing.model_copy(update={"state": "draft"}))
        assert fleet.references.rollout_of("fashion", 1) == "03"
        assert fleet.references.rollout_of("fashion", 2) is None
        assert fleet.references.rollout_of("other", 1) is None
        fleet.rollouts.put(bringing.model_copy(update={"id": "02", "spec": newer}))
        assert fleet.references.rollout_of("fashion", 1) == "03"
        fleet.rollouts.put_executions([execution("d", rollout="02", previous_manifest="first")])
        assert fleet.references.rollout_of("fashion", 1) == "02"
        for over in ("02", "03"):
            fleet.rollouts.put(bringing.model_copy(update={"id": over, "state": "rollback_incomplete"}))
        assert fleet.references.rollout_of("fashion", 1) is None

    def test_kept_answers_are_those_to_each_split_in_order_and_name_their_blobs(self, fleet: FleetStore) -> None:
        own, source, other = answers(2), answers(1, variant=""), answers(1, data="c" * 64, asked=1)
        fleet.registry.put_answers([own, source, other, answers(1, "a" * 64)])
        again = answers(2).model_copy(update={"blob": "again"})
        fleet.registry.put_answers([again])
        assert fleet.registry.answers("fashion") == [source, answers(1, "a" * 64), other, again]
        assert fleet.registry.answers("another") == []
        assert fleet.references.answers() == {"12d", "12ad", "11bc", "again"}

    def test_answers_go_with_the_version_that_gave_them_and_with_the_one_they_were_asked_for(
        self, fleet: FleetStore
    ) -> None:
        own, old, new = answers(1, data="c" * 64, asked=1), answers(1, asked=2), answers(2, asked=2)
        later = answers(3, asked=3)
        fleet.registry.put_answers([own, old, new, later])
        fleet.references.remove_model("fashion", 2)
        assert fleet.registry.answers("fashion") == [own, later]
        fleet.references.remove_model("fashion", 1)
        assert fleet.references.answers() == {later.blob}

    def test_a_model_is_removed_with_its_variants_and_choices(
        self, fleet: FleetStore, variant: Callable[..., VariantRecord]
    ) -> None:
        for version in (1, 2):
            fleet.registry.put_model(model(version=version))
            manifests = {"manifest": str(version) * 64, "older_manifest": str(version + 2) * 64}
            built = variant(id=str(version) * 64, version=version, **manifests)
            fleet.registry.put_variants([built], [choice("eu/rpi4/lte", version=version)])
        fleet.desired.put(desired("e", "1" * 64), desired("d", "3" * 64), desired("f", "2" * 64))
        assert fleet.references.devices_of("fashion", 1) == ["d", "e"]
        fleet.references.remove_model("fashion", 1)
        assert [m.version for m in fleet.registry.models()] == [2]
        assert [v.version for v in fleet.registry.variants()] == [2]
        assert (fleet.registry.choices("fashion", 1), len(fleet.registry.choices("fashion", 2))) == ([], 1)
        assert fleet.references.devices_of("fashion", 1) == []
