"""How tables call and show the figures that variants are compared by: by the measure of each model, in one place."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgefleet_contract.measures import MeasureView
from edgefleet_contract.telemetry import TelemetryView
from edgefleet_contract.variants import VariantView
from edgefleet_operator.figures import NONE, measured
from edgefleet_protocol.intervals import Interval

AGREEMENT = MeasureView(name="agreement")
"""How far answers are those of the source model, where they have no score."""
SEVERAL = "score"
"""What figures of several measures are called together; each then says which it is."""
Show = Callable[[VariantView], str]


@dataclass(frozen=True)
class TitledFigures:
    """A column of figures, by the same measure or each by its own."""

    title: str
    several: bool

    @classmethod
    def of(cls, measures: Iterable[MeasureView], several: str = SEVERAL) -> "TitledFigures":
        """The column for figures by these measures."""
        names = {one.name for one in measures}
        return cls(names.pop(), several=False) if len(names) == 1 else cls(several, several=True)

    def show(self, value: float | None, measure: MeasureView) -> str:
        """Format a figure."""
        text = measured(value, measure)
        if not self.several or value is None:
            return text
        return f"{text} {measure.name}" if measure.unit == "share" else f"{measure.name} {text}"


class Quality:
    """How variants are compared: by score or, of a model without any, by agreement with the source model.

    Args:
        variants: all that are shown together.
    """

    def __init__(self, variants: Iterable[VariantView]) -> None:
        of_models: dict[str, list[VariantView]] = {}
        for variant in variants:
            of_models.setdefault(variant.model, []).append(variant)
        self._by = {model: compared_by(found) for model, found in of_models.items()}
        every = [one for found in of_models.values() for one in found]
        self._figures = TitledFigures.of(self._by.values())
        headlines = [one.headlined for one in every if one.headlined and _has_headline(one)]
        self._headlines = TitledFigures.of(headlines, "headline") if headlines else None

    @property
    def title(self) -> str:
        """What the figures are called."""
        return self._figures.title

    @property
    def columns(self) -> list[tuple[str, Show]]:
        """The columns that compare variants: their titles, and how each shows a variant."""
        return [(f">{self.title} val", self.on_val), (">test", self.on_test), *self.headlines]

    @property
    def headlines(self) -> list[tuple[str, Show]]:
        """The column of the figures that people know tasks by; none if they are the scores."""
        return [(f">{self._headlines.title}", self._headline)] if self._headlines else []

    def on_val(self, variant: VariantView) -> str:
        """The figure on val, which choices are made by."""
        measure = self._by[variant.model]
        return self._figures.show(variant.agreement_val if measure is AGREEMENT else variant.score_val, measure)

    def on_test(self, variant: VariantView) -> str:
        """The figure on test, which is only reported."""
        measure = self._by[variant.model]
        return self._figures.show(variant.agreement if measure is AGREEMENT else variant.score, measure)

    def _headline(self, variant: VariantView) -> str:
        if self._headlines is None or variant.headlined is None or not _has_headline(variant):
            return NONE
        return self._headlines.show(value_of(variant.headline), variant.headlined)


def compared_by(variants: Sequence[VariantView]) -> MeasureView:
    """What the variants of one model are compared by."""
    unscored = all(v.score is None and v.score_val is None for v in variants)
    if unscored and any(v.agreement is not None for v in variants):
        return AGREEMENT
    return variants[0].measure


def telemetry_figures(found: Sequence[TelemetryView]) -> TitledFigures:
    """The column for the scores of telemetry."""
    scored = {one.measure for one in found if one.measure and one.measure.scored}
    labelled = {one.measure for one in found if one.measure and one.labelled}
    return TitledFigures.of(labelled or scored)


def _has_headline(variant: VariantView) -> bool:
    """Whether there is a headline figure that is not the score itself."""
    named = variant.headlined is not None and variant.headlined.name != variant.measure.name
    return named and variant.headline is not None


def value_of(figure: Interval | None) -> float | None:
    """A figure without its interval; None if not measured."""
    return figure.value if figure else None
