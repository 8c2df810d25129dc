"""References in memory."""

from collections.abc import Iterator

from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.store.contract.references import References
from edgefleet_controller.store.memory.fleet_tables import FleetTables

_OVER = ("completed", "cancelled", "rolled_back", "rollback_incomplete")


class MemoryReferences(References):
    """Searches the tables."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def model_files(self) -> set[str]:
        with self._tables.changes.turn:
            return {name for model in self._tables.models.values() for name in model.files.values()}

    def manifests(self) -> set[str]:
        tables = self._tables
        with tables.changes.turn:
            found = {form.manifest for _, variant in tables.variants.values() for form in variant.forms}
            named = {desired.manifest for desired in tables.desired.values()}
            for rollout in self._in_progress():
                for execution in tables.executions.values_at(tables.executions.where("rollout", rollout.id)):
                    named |= {execution.manifest, execution.previous_manifest, execution.back_manifest}
        return found | {name for name in named if name}

    def _in_progress(self) -> Iterator[RolloutRecord]:
        return (rollout for rollout in self._tables.rollouts.by_key() if rollout.state not in _OVER)

    def reported_manifests(self) -> set[str]:
        found: set[str] = set()
        with self._tables.changes.turn:
            for report in self._tables.devices.values():
                for said in report.reported.models.values():
                    named = [*said.slots, said.answering, said.attempt]
                    found.update(one.manifest for one in named if one and one.manifest)
        return found

    def answers(self) -> set[str]:
        with self._tables.changes.turn:
            return {one.blob for one in self._tables.answers.values()}

    def blobs(self) -> set[str]:
        with self._tables.changes.turn:
            return {name for name, _ in self._tables.blobs.items()}

    def forget_blob(self, sha256: str) -> None:
        with self._tables.changes.turn:
            self._tables.blobs.pop(sha256)

    def building(self, target: str | None = None) -> bool:
        with self._tables.changes.turn:
            running = [o.target for o in self._tables.operations.values() if o.state == "running"]
        return bool(running) if target is None else target in running

    def rollout_of(self, model: str, version: int) -> str | None:
        with self._tables.changes.turn:
            built = self._built(model, version)
            for rollout in self._in_progress():
                if rollout.spec.model != model:
                    continue
                if rollout.spec.version == version or self._may_go_back_to(rollout.id, built):
                    return rollout.id
        return None

    def _built(self, model: str, version: int) -> set[str]:
        """The manifests of a model version's variants."""
        variants = (variant for _, variant in self._tables.variants.values())
        mine = (v for v in variants if (v.model, v.version) == (model, version))
        return {form.manifest for variant in mine for form in variant.forms}

    def _may_go_back_to(self, rollout: str, manifests: set[str]) -> bool:
        executions = self._tables.executions
        mine = executions.values_at(executions.where("rollout", rollout))
        return any(e.previous_manifest in manifests or e.back_manifest in manifests for e in mine)

    def devices_of(self, model: str, version: int) -> list[str]:
        with self._tables.changes.turn:
            built = self._built(model, version)
            return sorted(desired.device for desired in self._tables.desired.values() if desired.manifest in built)

    def remove_model(self, model: str, version: int) -> None:
        tables = self._tables
        with tables.changes.transaction():
            tables.models.pop((model, version))
            of_it = (model, version)
            rows = [(key, one) for key, one in tables.answers.items() if of_it in (key[:2], (one.model, one.asked))]
            for answers, _ in rows:
                tables.answers.pop(answers)
            for variant in [key for key, _ in tables.variants.items() if key[:2] == (model, version)]:
                tables.variants.pop(variant)
            for choice in [key for key, _ in tables.choices.items() if key[:2] == (model, version)]:
                tables.choices.pop(choice)
