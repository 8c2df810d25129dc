"""Compresses a model by a search: publishes the fronts and keeps everything as a report."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgefleet_compression.search.bounds import Bounds
from edgefleet_compression.search.plots import PlotRequest, draw
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.report import report
from edgefleet_compression.search.run import SearchStatus
from edgefleet_compression.search.search import Ask, Found, SearchFolders, search
from edgefleet_compression.search.targets import SearchTarget
from edgefleet_contract.counted import counted
from edgefleet_contract.operations import BuildProgress, BuildResult, OperationRecord
from edgefleet_contract.searches import SearchReport
from edgefleet_controller.errors import NotBuilt
from edgefleet_controller.models.workshop import Workshop
from edgefleet_controller.records import AnswersRecord, ModelRecord, VariantRecord
from edgefleet_profiles.profile import DeviceProfile

REPORT = "search.json"
KEPT = 20
"""How many reports are kept; the oldest goes first."""
EACH_S = 1.0
SEARCH = "search"


@dataclass(frozen=True)
class Quest:
    """What an operator asks a search for: seconds of wall time, device classes, a seed, and bounds to meet."""

    budget_s: float
    targets: tuple[SearchTarget, ...]
    seed: int = 0
    wanted: Bounds = field(default_factory=Bounds)


def compress_by_search(
    shop: Workshop, operation: OperationRecord, model: ModelRecord, profiles: Sequence[DeviceProfile], quest: Quest
) -> BuildResult:
    """Search, publish the fronts, choose for each profile, and keep the report with its pictures.

    Raises:
        NotBuilt: no variant could be built.
        CalledOff: the operation was called off.
    """
    files = shop.files(model)
    ask = Ask(files, quest.targets, quest.budget_s, quest.seed, quest.wanted, ways=model.ways)
    place = SearchFolders(shop.folders.cache, shop.folders.work / operation.id)
    found = search(ask, place, shop.workers, _Shown(shop, operation, quest.budget_s))
    shop.workers.refuse_if_called_off()
    published = _published(shop, model, found)
    if not published:
        why = "; ".join(dict.fromkeys(f"{p.recipe.name}: {p.rejected}" for p in found.points if p.rejected))
        raise NotBuilt(f"no variant could be built: {why}")
    variants, kept = zip(*published, strict=True)
    said, beside = report(found), shop.beside(operation, model, files, kept[0].data)
    _keep(shop, operation.id, said)
    shop.choose(model, profiles, variants, [*kept, *beside.answers], shop.source_score(files))
    return BuildResult(
        variants=[v.id for v in variants],
        failed={p.recipe.name: p.rejected for p in found.points if p.metrics is None and p.rejected},
        steps=said.steps,
        not_applicable=found.left_out,
        compared=beside.compared,
        constraints={one: bounds.sentence for one, bounds in said.constraints.items()},
    )


def read_report(searches: Path, operation_id: str) -> SearchReport | None:
    """The report of a finished search, if still kept."""
    try:
        return SearchReport.model_validate_json((searches / Path(operation_id).name / REPORT).read_bytes())
    except (OSError, ValueError):
        return None


def read_picture(searches: Path, operation_id: str, name: str) -> bytes | None:
    """The front of a class as SVG, if still kept."""
    try:
        return (searches / Path(operation_id).name / f"front-{Path(name).name}.svg").read_bytes()
    except OSError:
        return None


def _published(shop: Workshop, model: ModelRecord, found: Found) -> list[tuple[VariantRecord, AnswersRecord]]:
    """Publish every build on a front once, for the classes it was made for, and keep its answers."""
    builds = {id(p.built): (p, p.built) for points in found.fronts.values() for p in points if p.built is not None}
    made = []
    for point, outcome in builds.values():
        classes = (point.instruction_set,) if "scheme" in point.recipe.needs else ()
        variant = shop.publisher.publish(model, point.recipe, outcome, instruction_sets=classes)
        made.append((variant, shop.publisher.keep(model, variant.id, outcome.val, model.version)))
    return made


def _keep(shop: Workshop, operation_id: str, said: SearchReport) -> None:
    folder = shop.folders.searches / operation_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT).write_text(said.model_dump_json(), encoding="utf-8")
    shop.workers.submit(draw, PlotRequest(said, folder)).result()
    kept = sorted(shop.folders.searches.iterdir(), key=lambda path: path.name)  # ids rise with time
    for old in kept[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


class _Shown:
    """Records the progress of a search, at most once a second."""

    def __init__(self, shop: Workshop, operation: OperationRecord, budget_s: float) -> None:
        self._shop = shop
        self._operation = operation
        self._budget_s = budget_s
        self._shown_s = float("-inf")

    def point(self, point: Point) -> None:
        """Ignore it: the status counts points."""

    def standing(self, standing: SearchStatus) -> None:
        """Record an entry for the search, and one for each build in progress."""
        if time.monotonic() - self._shown_s < EACH_S:
            return
        self._shown_s = time.monotonic()
        left = (
            f"at most {standing.left_s / 60:.0f} min" if standing.left_s >= 90 else f"at most {standing.left_s:.0f} s"
        )
        so_far = f"{counted(standing.measured, 'point')}, {standing.rejected:,} rejected"
        whole = BuildProgress(
            recipe=SEARCH,
            fraction=round(min(1.0, standing.elapsed_s / self._budget_s), 4),
            text=f"{standing.phase}; {so_far}; {left} left",
        )
        self._shop.show(self._operation, [whole, *standing.running])
