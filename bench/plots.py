"""Draws docs/images/bench-*.svg from the figures of docs/benchmarks.json: a bar a contestant, its rounds as a line."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

OURS, OTHERS, LINE = "#1f6feb", "#9aa4af", "#24292f"
# The same figures make the same files, and text stays text.
mpl.rcParams |= {"svg.hashsalt": "callweave", "svg.fonttype": "none", "font.size": 9}


def draw(whole: dict[str, Any], folder: Path) -> None:
    """One file for each work."""
    folder.mkdir(parents=True, exist_ok=True)
    for work in dict.fromkeys(one["work"] for one in whole["results"]):
        of_work = [one for one in whole["results"] if one["work"] == work]
        draw_work(work, of_work, folder / f"bench-{work}.svg")


def draw_work(work: str, of_work: list[dict[str, Any]], file: Path) -> None:
    """The medians as bars, from the least to the most as a line over each."""
    unit = next((one["unit"] for one in of_work if one["contestant"] == "callweave"), of_work[0]["unit"])
    shown = sorted((one for one in of_work if one["unit"] == unit), key=lambda one: float(one["median"]))
    figure = Figure(figsize=(7, 0.8 + 0.34 * len(shown)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    medians = [one["median"] for one in shown]
    spread = [
        [one["median"] - one["min"] for one in shown],
        [one["max"] - one["median"] for one in shown],
    ]
    colours = [OURS if one["contestant"].startswith("callweave") else OTHERS for one in shown]
    axes.barh([one["contestant"] for one in shown], medians, xerr=spread, color=colours, ecolor=LINE, height=0.6)
    for at, one in enumerate(shown):
        axes.annotate(
            f" {one['median']:,}", (one["max"], at), xytext=(3, 0), textcoords="offset points", va="center", color=LINE
        )
    axes.margins(x=0.15)
    axes.set_xlim(left=0)
    axes.set_title(f"{work}, {unit}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="svg", metadata={"Date": None})
