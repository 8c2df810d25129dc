"""What the scores of a model are by, found by its task."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgefleet_compression.measures import measure_named
from edgefleet_contract.measures import UNKNOWN, MeasureView
from edgefleet_controller.records import Evidence
from edgefleet_controller.rescaling import Rescaling, rescaling
from edgefleet_controller.store.contract.evidence import Compared
from edgefleet_controller.store.contract.registry import ModelRegistry


def measure_of(registry: ModelRegistry, name: str, version: int) -> MeasureView:
    """The measure of a model version; `UNKNOWN` if it is no longer registered."""
    model = registry.find_model(name, version)
    return UNKNOWN if model is None else measure_named(model.task)


class KnownMeasures:
    """The measures of model versions, each found once."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._known: dict[tuple[str, int], MeasureView] = {}

    def of_all(self, labels: Mapping[tuple[str, int], int]) -> MeasureView | None:
        """What the answers of these versions are scored by; None if that is not one measure.

        Args:
            labels: how many labelled answers each has; those without any count only if none has.
        """
        versions = [version for version, number in labels.items() if number] or list(labels)
        found = {self._of(version) for version in versions}
        return found.pop() if len(found) == 1 else None

    def _of(self, version: tuple[str, int]) -> MeasureView:
        if version not in self._known:
            self._known[version] = measure_of(self._registry, *version)
        return self._known[version]


@dataclass(frozen=True)
class ModelMeasures:
    """What the scores of a version are by, which variants of other versions have other scores, and each one's scale."""

    ours: MeasureView
    unlike: Mapping[str, MeasureView]
    scales: Mapping[str, tuple[float, ...]]

    def of(self, evidence: Evidence, compared: Compared) -> Evidence:
        """Evidence that says what its scores are by, of the new variant and of those before."""
        before = sorted(compared.before)
        others = (self.unlike[variant] for variant in before if variant in self.unlike)
        ours = self.scales.get(compared.new, ())
        each = [rescaling(ours, self.scales.get(variant, ())) for variant in before]
        bounds = Rescaling(min([one.least for one in each], default=1.0), max([one.most for one in each], default=1.0))
        return replace(evidence, measure=self.ours, measure_before=next(others, None), rescaled=bounds)


def measures_in(registry: ModelRegistry, name: str, version: int) -> ModelMeasures:
    """The measures of a model, seen from one of its versions."""
    ours = measure_of(registry, name, version)
    every = {model.version: measure_named(model.task) for model in registry.models() if model.name == name}
    unlike = {number: measure for number, measure in every.items() if measure != ours}
    variants = registry.variants(name)
    scales = {one.id: one.scale for one in variants if one.scale}
    return ModelMeasures(ours, {one.id: unlike[one.version] for one in variants if one.version in unlike}, scales)
