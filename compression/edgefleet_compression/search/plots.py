"""The front of each class as a picture: accuracy over bytes, colour by latency; for a worker, since matplotlib is slow.

python -m edgefleet_compression.search.plots search.json FOLDER
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LABELLED = 12


def draw(report: Mapping[str, Any], folder: str) -> dict[str, str]:
    """Draw the front of each class.

    Args:
        report: of a search, as `report.report` gives it.
        folder: where `front-CLASS.svg` are written; made where it is missing.

    Returns:
        The path of each picture, by class.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    found = {}
    for name in report["fronts"]:
        path = Path(folder) / f"front-{name}.svg"
        path.write_bytes(picture(report, name))
        found[name] = str(path)
    return found


def picture(report: Mapping[str, Any], name: str) -> bytes:
    """The front of one class as SVG; the same report gives the same bytes."""
    import io

    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    quality = "accuracy_val" if any(row.get("accuracy_val") is not None for row in _rows(report, name)) else None
    quality = quality or "agreement_val"
    with mpl.rc_context({"svg.hashsalt": "edgefleet", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 5.5), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        others = [row for row in _rows(report, name) if row["rejected"] and row.get(quality) is not None]
        axes.scatter(
            [row["encoding_bytes"] for row in others], [row[quality] * 100 for row in others], s=14, c="0.75",
            label="beaten, or stopped early",
        )  # fmt: skip
        front = sorted(report["fronts"][name], key=lambda row: row["encoding_bytes"])
        if front:
            _draw_front(figure, axes, front, quality)
        axes.set(xscale="log", xlabel="encoding, bytes", ylabel=f"{quality.partition('_')[0]} on val, %", title=name)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(loc="lower right")
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _draw_front(figure: Any, axes: Any, front: list[dict[str, Any]], quality: str) -> None:
    sizes = [row["encoding_bytes"] for row in front]
    shares = [row[quality] * 100 for row in front]
    ratios = [row["latency_ratio"] if row["latency_ratio"] is not None else 1.0 for row in front]
    dots = axes.scatter(sizes, shares, c=ratios, s=42, cmap="viridis_r", edgecolors="black", label="front", zorder=3)
    figure.colorbar(dots, ax=axes, label="CPU time by that of the source in fp32, on the measuring host")
    for row, size, share in list(zip(front, sizes, shares, strict=True))[:: max(1, len(front) // LABELLED)]:
        axes.annotate(row["recipe"], (size, share), xytext=(4, -9), textcoords="offset points", fontsize=6)


def _rows(report: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [point["classes"][name] for point in report["points"] if name in point["classes"]]


if __name__ == "__main__":
    print(json.dumps(draw(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])))
