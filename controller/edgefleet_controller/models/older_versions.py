"""Asks older versions of a model the samples of a new one, so that they can be compared before any device is."""

import logging
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from edgefleet_compression.builds.messages import (
    ModelFiles,
    OlderVariant,
    VersionsOutcome,
    VersionsRequest,
    WorkRefused,
)
from edgefleet_compression.builds.refusals import settled
from edgefleet_compression.builds.versions import compare_versions
from edgefleet_compression.builds.worker_team import WorkerTeam
from edgefleet_contract.operations import VersionComparison
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import NotFound
from edgefleet_controller.models.publishing import Publisher
from edgefleet_controller.records import AnswersRecord, ModelRecord, VariantRecord
from edgefleet_controller.store import FleetStore
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.manifest import verify

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beside:
    """How a version answers beside the one before it, None if it is the first; and what older ones answered."""

    compared: VersionComparison | None
    answers: tuple[AnswersRecord, ...]


class OlderVersions:
    """Finds what devices may have, and asks it.

    Args:
        fleet: the fleet's store.
        blobs: the files of models and variants.
        publisher: keeps the answers.
        workers: ask.
    """

    def __init__(self, fleet: FleetStore, blobs: BlobFolder, publisher: Publisher, workers: WorkerTeam) -> None:
        self._fleet, self._blobs = fleet, blobs
        self._publisher, self._workers = publisher, workers

    def ask(self, model: ModelRecord, files: ModelFiles, data: str, cache: Path, work: Path) -> Beside:
        """Ask the version before, and any older one that still answers somewhere, all of this one's val.

        What a variant answered to the same samples before, as those of its own val, is not asked for again.

        Args:
            model: the new version.
            files: its files.
            data: the sha256 of its val.
            cache: the folder that workers share.
            work: a folder for the answers.
        """
        older = [one for one in self._fleet.registry.models() if one.name == model.name and one.version < model.version]
        before = max(older, key=lambda one: one.version, default=None)
        answering = {member.variant for member in self._fleet.members.all(model.name)} if older else set()
        known = {(one.version, one.variant) for one in self._fleet.registry.answers(model.name) if one.data == data}
        compared, answers = None, []
        for version in older:
            wanted = answering | (self._chosen(version) if version is before else set())
            variants = tuple(self._to_ask(version, wanted - {v for number, v in known if number == version.version}))
            if not variants and version is not before:
                continue
            place = work / f"version-{version.version}"
            found = self._asked(version, VersionsRequest(files, _paths(self._blobs, version), variants, cache, place))
            answers += [self._publisher.keep(version, v, kept, model.version) for v, kept in found.kept.items()]
            compared = found.compared if version is before else compared
        return Beside(compared, tuple(answers))

    def _asked(self, version: ModelRecord, request: VersionsRequest) -> VersionsOutcome:
        found = settled(self._workers.submit(compare_versions, request))
        if isinstance(found, WorkRefused):
            return VersionsOutcome(VersionComparison(before=version.ref, not_compared=found.sentence), {}, {})
        for variant, why in found.not_asked.items():
            log.warning("variant %s of %s was not asked the val of a later version: %s", variant, version.ref, why)
        return found

    def _chosen(self, version: ModelRecord) -> set[str | None]:
        return {choice.variant for choice in self._fleet.registry.choices(version.name, version.version)}

    def _to_ask(self, version: ModelRecord, wanted: Set[str | None]) -> Iterator[OlderVariant]:
        for variant in self._fleet.registry.variants(version.name, version.version):
            path = self._file_of(variant) if variant.id in wanted else None
            if path is not None:
                yield OlderVariant(variant.id, path, variant.runtime)

    def _file_of(self, variant: VariantRecord) -> Path | None:
        """A variant's ONNX file; None if it is gone or damaged, as its source can stand for it."""
        try:
            onnx = verify(self._blobs.read(variant.manifest), variant.manifest).core.onnx.sha256
        except (NotFound, ProtocolError, OSError):
            return None
        return self._blobs.path(onnx) if self._blobs.is_whole(onnx) else None


def _paths(blobs: BlobFolder, model: ModelRecord) -> ModelFiles:
    return {name: blobs.path(sha256) for name, sha256 in model.files.items()}
