"""Looks up what variants answered to val, and compares what devices have with what they would get."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.splits.data import labels_in
from edgefleet_contract.pairs import PairView
from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import NotFound, Refused
from edgefleet_controller.records import AnswersRecord, VariantRecord
from edgefleet_controller.rollouts.plan import VariantChange
from edgefleet_controller.rollouts.versions_alike import change_for_applications, refusal, why_refused
from edgefleet_controller.store import FleetStore
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.errors import ProtocolError
from edgefleet_tasks.answer_set import AnswerSet
from edgefleet_tasks.errors import TaskError
from edgefleet_tasks.pairing import PairOnVal, paired, why_other_samples
from edgefleet_tasks.registry import task_named

MOST_KEPT = 256
MOST_COMPARED = 2_000
"""Samples of a pair: bounds are within 2 points then, and detectors, which take longest, take 3 s at most."""
SOURCE = ""


class Kept(NamedTuple):
    """Answers that stand for a variant: its own, or its source model's."""

    row: AnswersRecord
    asked: Literal["variant", "source model"]


@dataclass(frozen=True)
class _Look:
    """What was found of two sets of answers, whatever the limits."""

    pair: PairOnVal | str
    signature_change: str | None
    measure: str | None


class KeptPairs:
    """Compares variants by kept answers; the last pairs are remembered, as a plan is most often asked for twice.

    Args:
        fleet: the fleet's store.
        blobs: the answers, and the labels in models' data.
    """

    def __init__(self, fleet: FleetStore, blobs: BlobFolder) -> None:
        self._fleet, self._blobs = fleet, blobs
        self._known: OrderedDict[tuple[str, str], _Look] = OrderedDict()

    def look(self, spec: RolloutSpec, changes: Mapping[VariantChange, int]) -> tuple[PairView, ...]:
        """Every change that devices would make, compared as far as it can be.

        Args:
            spec: what they would get.
            changes: how many devices make each.
        """
        rows = self._fleet.registry.answers(spec.model) if changes else []
        known = {variant.id: variant for variant in self._fleet.registry.variants(spec.model)} if changes else {}
        views = [self._view(spec, change, n, known, rows) for change, n in changes.items()]
        return tuple(sorted(views, key=lambda view: (-view.devices, view.before, view.after)))

    def checked(self, spec: RolloutSpec, changes: Mapping[VariantChange, int]) -> tuple[PairView, ...]:
        """As `look`.

        Raises:
            Refused: a version is worse or otherwise than the spec accepts.
        """
        views = self.look(spec, changes)
        if why := why_refused(spec, views):
            raise Refused(why)
        return views

    def refused(self, spec: RolloutSpec, changes: Iterable[VariantChange]) -> dict[VariantChange, str]:
        """Of these changes, those that a plan would refuse, and why."""
        found = {VariantChange(v.before, v.after): why_refused(spec, [v]) for v in self.look(spec, Counter(changes))}
        return {change: why for change, why in found.items() if why}

    def _view(
        self,
        spec: RolloutSpec,
        change: VariantChange,
        devices: int,
        known: Mapping[str, VariantRecord],
        rows: Iterable[AnswersRecord],
    ) -> PairView:
        before = known.get(change.before)
        told = PairView(
            before=change.before,
            before_model=f"{before.model}@{before.version}" if before else None,
            after=change.after,
            after_model=f"{spec.model}@{spec.version}",
            devices=devices,
        )
        if before is None:
            return told.model_copy(update={"not_compared": "its version is not registered any more"})
        mine = [row for row in rows if (row.version, row.variant) == (spec.version, change.after)]
        if not mine:
            why = f"what it answers to val was not kept: compress {told.after_model} again"
            return told.model_copy(update={"not_compared": why})
        theirs = {row.data: Kept(row, "source model") for row in rows if _is_of(row, before, SOURCE)}
        theirs |= {row.data: Kept(row, "variant") for row in rows if _is_of(row, before, before.id)}
        # What both were asked: its own val rather than another version's.
        common = sorted((row for row in mine if row.data in theirs), key=lambda row: row.asked != row.version)
        if common:
            kept = theirs[common[0].data]
            return _filled(told, kept, self._looked(kept.row, common[0]), spec)
        asks = f"compress {told.after_model} again, which asks it or says why not"
        why = f"{told.before_model} was not asked the val of {told.after_model}: {asks}"
        if not theirs:
            return told.model_copy(update={"not_compared": why})
        row = next(iter(theirs.values())).row
        never, other = self._never(told, row, mine[0]), self._looked(row, mine[0]).signature_change
        return told.model_copy(update={"not_compared": never or why, "signature_change": other})

    def _never(self, told: PairView, before: AnswersRecord, after: AnswersRecord) -> str | None:
        """Why no build could ask a version the other's samples; None if one could."""
        try:
            old, new = (AnswerSet.unpack(self._read(row.blob)) for row in (before, after))
        except (NotFound, ProtocolError, OSError):
            return None
        return why_other_samples(told.before_model or before.variant, told.after_model, old, new)

    def _looked(self, before: AnswersRecord, after: AnswersRecord) -> _Look:
        key = (before.blob, after.blob)
        if key not in self._known:
            self._known[key] = self._compared(before, after)
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        return self._known[key]

    def _compared(self, before: AnswersRecord, after: AnswersRecord) -> _Look:
        try:
            old, new = (AnswerSet.unpack(self._read(row.blob)) for row in (before, after))
            measure = task_named(old.task).measure.name
        except (NotFound, ProtocolError, TaskError, OSError) as error:
            return _Look(f"kept answers cannot be read ({error}): compress both versions again", None, None)
        labels = self._labels(before, after) if before.data == after.data else None
        return _Look(paired(old, new, labels, MOST_COMPARED), change_for_applications(old, new), measure)

    def _read(self, blob: str) -> bytes:
        data = self._blobs.read(blob)
        if digest(data) != blob:
            raise ProtocolError("a blob of answers is damaged")
        return data

    def _labels(self, *rows: AnswersRecord) -> Sequence[object] | None:
        """The labels of the samples, from the data of a version whose val they are."""
        for row in rows:
            model = self._fleet.registry.find_model(row.model, row.asked)
            if model is None:
                continue
            try:
                return labels_in(self._blobs.path(model.files[model.card.data.file]), "val")
            except (CompressionError, OSError, KeyError):
                continue
        return None


def _is_of(row: AnswersRecord, variant: VariantRecord, answered: str) -> bool:
    return (row.version, row.variant) == (variant.version, answered)


def _filled(told: PairView, kept: Kept, look: _Look, spec: RolloutSpec) -> PairView:
    found: dict[str, object] = {"asked": kept.asked, "signature_change": look.signature_change, "measure": look.measure}
    if isinstance(look.pair, str):
        return told.model_copy(update={**found, "not_compared": look.pair})
    pair, drop = look.pair, look.pair.drop
    figures = {
        "samples": pair.samples,
        "disagreement": pair.disagreement.value,
        "disagreement_ci": pair.disagreement.bounds,
        "score_before": pair.score_before,
        "score": pair.score,
        "drop": drop.value if drop else None,
        "drop_ci": drop.bounds if drop else None,
        "not_scored": pair.not_scored,
        "refused": refusal(pair, spec.gate, look.measure or "score"),
    }
    return told.model_copy(update={**found, **figures})
