"""Whatever happens to them, SQLite and memory tell the same: random histories, with failures in between."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.controller.asking import aggregated, evidence
from tests.controller.store.contract.alerts import alert
from tests.controller.store.contract.registry import answers, choice, desired, operation
from tests.controller.store.making import T0, facts, latency, window

from edgefleet_contract.devices import AdmissionRecord, HeardRecord
from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.records import Annotation, RolloutRecord, VariantRecord, VerdictRecord
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.evidence import Compared, Switched
from edgefleet_controller.store.contract.rollouts import Said
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.contract.windows import WindowNumber
from edgefleet_controller.store.memory import new_store
from edgefleet_controller.store.sqlite import open_store
from edgefleet_protocol.messages import Attempt, ReportedModel, ReportedState, Slot

DEVICES, ROLLOUTS, MODELS = "abcd", ("01", "02", "03"), ("fashion", "other")
PHASES = ("assigned", "trial", "committed", "failed_rolled_back", "superseded")
Act = Callable[[Store], object]


class KilledError(Exception):
    """Stands for a fault in the midst of a transaction."""


class Histories:
    """Random acts, each to be done to both stores."""

    def __init__(self, seed: int, reported: Any, rollout: Any, execution: Any, variant: Any) -> None:
        self.rng, self.now = random.Random(seed), 0
        self._reported: Callable[..., ReportedState] = reported
        self._rollout: Callable[..., RolloutRecord] = rollout
        self._execution: Callable[..., ExecutionRecord] = execution
        self._variant: Callable[..., VariantRecord] = variant

    def of_the_fleet(self) -> Act:
        pick = self.rng.choice
        self.now += 1
        now, device, number = self.now, pick(DEVICES), self.rng.randint(1, 5)
        report, spoken = self._report(), pick([True, False])
        rollout = self._rollout("staging", "pending").model_copy(
            update={"id": pick(ROLLOUTS), "state": pick(["running", "rolling_back", "completed", "draft"])}
        )
        brings = {"model": MODELS[rollout.id == "03"], "version": pick([1, 2])}  # which model: that never changes
        spec = rollout.spec.model_copy(update=brings)
        rollout = rollout.model_copy(update={"spec": spec})
        executions = [self._some_execution() for _ in range(number)]
        heard = HeardRecord(incarnation=str(number) * 32, last_seen_ms=now)
        variants = [
            self._variant(
                **{"id": pick("12") * 64, "manifest": pick("ef") * 64, "model": pick(MODELS), "version": pick([1, 2])},
                **{"older_manifest": pick(["e" * 64, "0" * 64, None]), "needs": pick([(), ("reduced-answers",)])},
            )
        ]
        verdict = VerdictRecord(
            **{"model": pick(MODELS), "profile": pick("pq"), "variant": pick("12"), "manifest": "m"},
            **{"rollout": rollout.id, "passed": spoken, "at_ms": now // 3},
        )
        written = Annotation(labels=pick([{}, {"tier": "shop"}, {"row": "1"}]), note=pick_of(number))
        raised = alert(f"k:{rollout.id}:{device}:p", last_ms=now, ended_ms=now if spoken else None)
        kept = answers(number % 3, pick("12") * 64, number % 2)
        wanted = desired(device, pick(["e" * 64, None]), pick(MODELS), number)
        return pick(
            [
                lambda s: s.fleet.devices.put_report(device, report, now),
                lambda s: s.fleet.devices.put_reports({device: report}, now),
                lambda s: s.fleet.devices.put_presence(device, report.incarnation, spoken, now - number),
                lambda s: s.fleet.devices.put_unheard(now - 10),
                lambda s: s.fleet.devices.admit(AdmissionRecord(device=device, profile=pick_of(now), accepted_ms=now)),
                lambda s: s.fleet.devices.forget(device, now),
                lambda s: s.fleet.annotations.put(device, written),
                lambda s: s.fleet.conflicts.begin(device, "two", now),
                lambda s: s.fleet.conflicts.end(device),
                lambda s: s.fleet.conflicts.keep(device, heard, now - 8),
                lambda s: s.fleet.rollouts.put(rollout),
                lambda s: s.fleet.rollouts.put_executions(executions),
                lambda s: s.fleet.rollouts.live.keep_only([rollout.id]),
                lambda s: s.fleet.verdicts.put(verdict),
                lambda s: s.fleet.alerts.put(raised),
                lambda s: s.fleet.alerts.forget(now - 10),
                lambda s: s.fleet.desired.put(wanted),
                lambda s: s.fleet.registry.put_variants(variants, [choice("eu/rpi4/lte", version=number)]),
                lambda s: s.fleet.registry.put_answers([kept]),
                lambda s: s.fleet.references.remove_model(pick_of(now) or "fashion", 1),
                lambda s: s.fleet.operations.put(operation(str(number), state="running" if spoken else "failed")),
                lambda s: s.fleet.audit.note(now, "what", device),
                lambda s: s.fleet.follow_ups.unplace(device, now),
                lambda s: s.fleet.follow_ups.done(s.fleet.follow_ups.all()[:1]),
            ]
        )

    def _report(self) -> ReportedState:
        pick = self.rng.choice
        slot = Slot(variant=pick("12") * 64, manifest=pick("ef") * 64, model_version=1, generation=1)
        attempt = Attempt(generation=2, rollout=pick("0123") * 32, manifest=pick(["e" * 64, None]), phase=pick(PHASES))
        models = {
            name: ReportedModel(
                generation=self.rng.randint(0, 3),
                answering=pick([slot, None]),
                committed=pick([slot, None]),
                slots=pick([(), (slot,)]),
                attempt=pick([attempt, None]),
            )
            for name in self.rng.sample(MODELS, self.rng.randint(0, 2))
        }
        return self._reported(
            incarnation=pick("12") * 32,
            report=self.rng.randint(1, 50),
            labels=pick([{}, {"tier": "field"}, {"tier": "lab"}]),
            facts=facts(pick(["eu", "na"])),
            features=pick([[], ["one"]]),
            models=models,
        )

    def _some_execution(self) -> ExecutionRecord:
        pick = self.rng.choice
        return self._execution(
            pick(DEVICES),
            pick(PHASES),
            rollout=pick(ROLLOUTS),
            wave=pick([1, 2]),
            previous_manifest=pick(["e" * 64, "f" * 64, None]),
            variant=pick(["1" * 64, None]),
            back_phase=pick([None, None, *PHASES, "removed"]),
            back_variant=pick(["1" * 64, None]),
            back_manifest=pick(["e" * 64, None]),
            removed_ms=pick([None, None, None, self.now]),
            changed_ms=self.now,
        )

    def of_telemetry(self) -> Act:
        pick = self.rng.choice
        self.now += self.rng.randint(0, HOUR_MS // 4)
        now, device, first = T0 + self.now, pick("ab"), self.rng.randint(1, 30)
        windows = [
            window(
                first + self.rng.randint(0, 4),
                now,
                device,
                pick([None, facts("na")]),
                first_kept_seq=pick([1, 1, first]),
                variant=pick("12") * 64,
                requests=self.rng.randint(0, 9),
                labelled=5,
                correct=self.rng.randint(0, 5),
                predicted={pick("xy"): 1},
                latency=pick([None, latency(5), "rubbish"]),
                started_ms=now - self.rng.randint(0, HOUR_MS),
                clock_trusted=pick([True, False]),
            )
            for _ in range(self.rng.randint(0, 5))
        ]
        told = {"incarnation": "1" * 32, "first_kept_seq": pick([1, first])}
        aside = [(device, WindowNumber(seq=first + number, **told)) for number in range(self.rng.randint(0, 3))]
        return pick(
            [
                *[lambda s: s.telemetry.windows.put(windows)] * 4,
                lambda s: s.telemetry.windows.pass_over(aside),
                lambda s: s.telemetry.windows.unplace(device, now - HOUR_MS),
                lambda s: s.telemetry.windows.remove(device) if first > 25 else None,
                lambda s: s.telemetry.rollups.roll_up(now - HOUR_MS, 1000),
                lambda s: s.telemetry.rollups.forget_windows(now - 3 * HOUR_MS, now - 9 * HOUR_MS, 1000),
                lambda s: s.telemetry.rollups.forget_rollups(now - 60 * HOUR_MS),
            ]
        )


def pick_of(number: int) -> str | None:
    return (None, "fashion", "other")[number % 3]


def together(transaction: Callable[[Store], Any], acts: list[Act], fails: bool) -> Act:
    """Several acts in one transaction, which may fail at its end."""

    def act(store: Store) -> None:
        with suppress(KilledError), transaction(store):
            for one in acts:
                one(store)
            if fails:
                raise KilledError

    return act


def story(
    rng: random.Random, act: Callable[[], Act], transaction: Callable[[Store], Any], length: int
) -> Iterator[Act]:
    """Single acts and transactions, some of which fail, or hold others that fail."""
    for _ in range(length):
        if rng.random() < 0.5:
            yield act()
            continue
        acts = [act() for _ in range(rng.randint(1, 4))]
        if rng.random() < 0.3:
            acts.insert(1, together(transaction, [act(), act()], fails=rng.random() < 0.5))
        yield together(transaction, acts, fails=rng.random() < 0.4)


def told_of_the_fleet(store: Store) -> dict[str, Any]:
    fleet = store.fleet
    said = [Said(device, model, "01" if model == "fashion" else None) for device in DEVICES for model in MODELS]
    return {
        "devices": fleet.devices.all(),
        "standings": fleet.devices.standings(DEVICES),
        "senders": fleet.devices.senders(DEVICES),
        "expected": fleet.devices.expected(),
        "counted": (fleet.devices.count_pending(), fleet.devices.count_devices(), fleet.devices.count_models()),
        "members": [fleet.members.all(model, status) for model in MODELS for status in ("accepted", "pending", None)],
        "newcomers": sorted(fleet.members.newcomers("01", "fashion", None)),
        "given later": fleet.members.given_later(DEVICES, "fashion", "1" * 32),
        "conflicts": [fleet.conflicts.all(), *(sorted(map(str, fleet.conflicts.others(d))) for d in DEVICES)],
        "rollouts": fleet.rollouts.all(),
        "executions": [fleet.rollouts.executions(rollout) for rollout in ROLLOUTS],
        "live": [fleet.rollouts.live.of(rollout) for rollout in ROLLOUTS],
        "concerned": fleet.rollouts.concerned(said),
        "counts": [(fleet.rollouts.counts(r), fleet.rollouts.counts_back(r)) for r in ROLLOUTS],
        "returns": [fleet.rollouts.returns(r) for r in ROLLOUTS],
        "committed": [fleet.rollouts.committed_by(model, DEVICES) for model in MODELS],
        "moved on": [fleet.rollouts.moved_on(rollout) for rollout in ROLLOUTS],
        "alerts": [fleet.alerts.all(), fleet.alerts.all(state="open"), fleet.alerts.all(rollout="01")],
        "verdicts": [fleet.verdicts.of(model) for model in MODELS],
        "owners": [fleet.rollouts.owners(model, DEVICES) for model in MODELS],
        "desired": fleet.desired.of_each(DEVICES),
        "variants": fleet.registry.variants(),
        "choices": fleet.registry.choices("fashion", 1),
        "answers": (fleet.registry.answers("fashion"), fleet.references.answers()),
        "forms": fleet.registry.forms([letter * 64 for letter in "ef0"]),
        "manifests": (fleet.references.manifests(), fleet.references.reported_manifests()),
        "named": [(fleet.references.rollout_of(m, 1), fleet.references.devices_of(m, 1)) for m in MODELS],
        "operations": (fleet.operations.all(), fleet.references.building()),
        "audit": [fleet.audit.of(device) for device in DEVICES],
        "follow-ups": [(one.device, one.since_ms) for one in fleet.follow_ups.all()],
        "newest": fleet.newest_ms(),
    }


def told_of_telemetry(store: Store) -> dict[str, Any]:
    telemetry = store.telemetry
    switched = {"a": Switched("1" * 32, 1, committed=True)}
    compared = {"eu/rpi4/lte": Compared("1" * 64, frozenset({"2" * 64}), switched, {"b": "1" * 32})}
    return {
        "through": [(telemetry.windows.through(d, "1" * 32), telemetry.windows.lost(d)) for d in "ab"],
        "counted": (telemetry.windows.count(), telemetry.windows.lost(), telemetry.rollups.count()),
        "hours": aggregated(telemetry, ("variant", "region"), bucket="hour"),
        "all": aggregated(telemetry, ("model",)),
        "devices": aggregated(telemetry, ("device",)),
        "some": aggregated(telemetry, ("link",), since_ms=T0 + 3 * HOUR_MS + 5, until_ms=T0 + 40 * HOUR_MS + 5),
        "extent": (telemetry.aggregates.extent(), telemetry.aggregates.windows_from_ms()),
        "evidence": evidence(telemetry, "fashion", compared, T0 + 20 * HOUR_MS),
    }


@pytest.fixture
def stores(tmp_path: Path, new_files: Path) -> Iterator[tuple[Store, Store]]:
    both = (open_store(shutil.copytree(new_files, tmp_path / "state")), new_store())
    yield both
    for store in both:
        store.close()


@pytest.mark.parametrize("seed", range(4))
def test_the_fleets_stores_tell_the_same(
    stores: tuple[Store, Store], seed: int, reported: Any, rollout: Any, execution: Any, variant: Any
) -> None:
    histories = Histories(seed, reported, rollout, execution, variant)
    acts = story(histories.rng, histories.of_the_fleet, lambda store: store.fleet.transaction(), 120)
    for number, act in enumerate(acts):
        for store in stores:
            act(store)
        if number % 10 == 9:
            one, other = map(told_of_the_fleet, stores)
            assert one == other, number


@pytest.mark.parametrize("seed", range(4))
def test_the_telemetry_stores_tell_the_same(
    stores: tuple[Store, Store], seed: int, reported: Any, rollout: Any, execution: Any, variant: Any
) -> None:
    histories = Histories(seed, reported, rollout, execution, variant)
    acts = story(histories.rng, histories.of_telemetry, lambda store: store.telemetry.transaction(), 150)
    for number, act in enumerate(acts):
        for store in stores:
            act(store)
        if number % 15 == 14:
            one, other = map(told_of_telemetry, stores)
            assert one == other, number
