"""Where a rollback leads: what ran before, but never a variant that has been rejected."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import ARRIVED, ExecutionRecord
from edgefleet_controller.records import VerdictRecord
from edgefleet_controller.store import FleetStore

SHOWN = 12
"""How many digits of a variant are shown; the command line takes the start of an id."""
MOST_NAMED = 3


class WayBack(NamedTuple):
    """The variant that a device returns to, None for none, and why if that is not what ran before."""

    variant: str | None
    manifest: str | None
    why: str | None = None


def rejected(execution: ExecutionRecord, verdicts: Iterable[VerdictRecord]) -> VerdictRecord | None:
    """The verdict against what ran on a device before; None if there is none."""
    mine = (v for v in verdicts if v.profile == execution.profile and v.variant == execution.previous_variant)
    return next((v for v in mine if not v.passed), None)


def rejections(executions: Iterable[ExecutionRecord], verdicts: Iterable[VerdictRecord]) -> list[VerdictRecord]:
    """The verdicts against variants that these devices would get, or run already."""
    given = {(e.profile, e.variant) for e in executions}
    return [v for v in verdicts if not v.passed and (v.profile, v.variant) in given]


def way_back(execution: ExecutionRecord, verdicts: Sequence[VerdictRecord], ran: Sequence[str]) -> WayBack:
    """Where the way back of a device leads: pure.

    Args:
        execution: the device in this rollout, with what ran before.
        verdicts: on the model's variants, the latest last.
        ran: what the device itself has committed, the latest first.
    """
    against = rejected(execution, verdicts)
    if against is None:
        return _as_before(execution)
    why = f"variant {against.variant[:SHOWN]}, which ran before, was rejected in rollout {against.rollout}"
    passed = {
        v.variant: v for v in verdicts if v.passed and v.profile == execution.profile and v.variant != execution.variant
    }
    own = (variant for variant in ran if variant in passed)
    # A device that ran none of them, perhaps because it was added later, takes the last that passed on its profile.
    chosen = next(own, None) or next(reversed(passed), None)
    if chosen is None:
        return WayBack(None, None, f"{why}, and none has passed on {execution.profile}")
    return WayBack(chosen, passed[chosen].manifest, f"{why}; {chosen[:SHOWN]} is the last one that passed")


class WaysBack:
    """Finds the ways back of many devices at a time."""

    def __init__(self, fleet: FleetStore) -> None:
        self._fleet = fleet

    def marked(self, model: str, executions: Sequence[ExecutionRecord]) -> list[ExecutionRecord]:
        """The executions with their ways back filled in; asks for more only if some ran what was rejected."""
        verdicts = self._fleet.verdicts.of(model)
        against = {(v.profile, v.variant) for v in verdicts if not v.passed}
        elsewhere = [e.device for e in executions if (e.profile, e.previous_variant) in against]
        if not elsewhere:
            return [_marked(e, _as_before(e), e.previous_manifest_bytes) for e in executions]
        sizes = {v.manifest: self._fleet.registry.deliverable_bytes(v.manifest) for v in verdicts if v.passed}
        known = [v for v in verdicts if not v.passed or sizes[v.manifest] is not None]
        ran, leaves = self._fleet.rollouts.committed_by(model, elsewhere), set(elsewhere)
        marked = []
        for e in executions:
            way = way_back(e, known, ran.get(e.device, ())) if e.device in leaves else _as_before(e)
            size = sizes.get(way.manifest or "") if e.device in leaves else e.previous_manifest_bytes
            marked.append(_marked(e, way, size or 0))
        return marked


def _as_before(execution: ExecutionRecord) -> WayBack:
    return WayBack(execution.previous_variant, execution.previous_manifest)


def _marked(execution: ExecutionRecord, way: WayBack, manifest_bytes: int) -> ExecutionRecord:
    changes = {
        "back_variant": way.variant,
        "back_manifest": way.manifest,
        "back_manifest_bytes": manifest_bytes,
        "back_why": way.why,
    }
    return execution.model_copy(update=changes)


def words(executions: Iterable[ExecutionRecord]) -> str:
    """What runs on the devices that are back, and how many were removed on their way."""
    told = [e for e in executions if e.back_generation is not None]
    there = (e for e in told if e.back_phase in ARRIVED and e.removed_ms is None)
    led = Counter((e.back_variant, e.back_why) for e in there)
    said = [_words(variant, why, n) for (variant, why), n in led.most_common(MOST_NAMED)]
    gone = sum(e.removed_ms is not None and not e.is_back for e in told)
    lost = f"{counted(gone, 'device')} removed before {'it was' if gone == 1 else 'they were'} back"
    return "; ".join([*said, *(["and more"] if len(led) > MOST_NAMED else []), *([lost] if gone else [])])


def _words(variant: str | None, why: str | None, count: int) -> str:
    what = f"variant {variant[:SHOWN]} answers" if variant else "nothing answers"
    where = f"{what} on {counted(count, 'device')}"
    return f"{where}: {why}" if why else where
