"""Draws the front of each class: score over bytes, coloured by latency. For a worker: matplotlib is slow.

python -m edgefleet_compression.search.plots search.json FOLDER
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgefleet_contract.searches import Figures, FrontPoint, SearchReport
from edgefleet_profiles.device_class import InstructionSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

LABELLED = 12


@dataclass(frozen=True)
class PlotRequest:
    """Asks for a picture of each front in `folder`, which is created if missing."""

    report: SearchReport
    folder: Path


def draw(request: PlotRequest) -> dict[InstructionSet, Path]:
    """Write `front-CLASS.svg` for each class; return their paths."""
    request.folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in request.report.fronts:
        found[name] = request.folder / f"front-{name}.svg"
        found[name].write_bytes(picture(request.report, name))
    return found


def picture(report: SearchReport, name: InstructionSet) -> bytes:
    """Draw the front of one class as SVG; the same report gives the same bytes."""
    import io

    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    tried = [recipe.classes[name] for recipe in report.points if name in recipe.classes]
    labelled = any(figures.score_val is not None for figures in tried)
    with mpl.rc_context({"svg.hashsalt": "edgefleet", "svg.fonttype": "none"}):
        drawing = Drawing(figsize=(9, 5.5), layout="constrained")
        FigureCanvasSVG(drawing)
        axes = drawing.add_subplot()
        others = [f for f in tried if f.rejected and _quality(f, labelled) is not None]
        axes.scatter(
            [_bytes(f) for f in others], [100 * (_quality(f, labelled) or 0.0) for f in others], s=14, c="0.75",
            label="beaten, or stopped early",
        )  # fmt: skip
        front = sorted(report.fronts[name], key=_bytes)
        if front:
            _draw_front(drawing, axes, front, labelled)
        quality = report.measure.name if labelled and report.measure else "agreement"
        axes.set(xscale="log", xlabel="encoding, bytes", ylabel=f"{quality} on val, %", title=name)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(loc="lower right")
        out = io.BytesIO()
        drawing.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _draw_front(drawing: "Drawing", axes: "Axes", front: list[FrontPoint], labelled: bool) -> None:
    shares = [100 * (_quality(point, labelled) or 0.0) for point in front]
    ratios = [1.0 if point.latency_ratio is None else point.latency_ratio for point in front]
    dots = axes.scatter(
        [_bytes(point) for point in front], shares, c=ratios, s=42, cmap="viridis_r", edgecolors="black",
        label="front", zorder=3,
    )  # fmt: skip
    drawing.colorbar(dots, ax=axes, label="CPU time by that of the source in fp32, on the measuring host")
    for point, share in list(zip(front, shares, strict=True))[:: max(1, len(front) // LABELLED)]:
        axes.annotate(point.recipe, (_bytes(point), share), xytext=(4, -9), textcoords="offset points", fontsize=6)


def _quality(figures: Figures, labelled: bool) -> float | None:
    return figures.score_val if labelled else figures.agreement_val


def _bytes(figures: Figures) -> float:
    return float("nan") if figures.encoding_bytes is None else figures.encoding_bytes


if __name__ == "__main__":
    drawn = draw(PlotRequest(SearchReport.model_validate_json(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2])))
    print(json.dumps({name: str(path) for name, path in drawn.items()}))
