"""The figures of the HTML report, as SVG that takes its colours from the page: curves, ROC, calibration, scores."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covid19.audit.result import AuditResult, ProbeResult
from covid19.core.arrays import BoolArray, Float64Array
from covid19.core.console import printable
from covid19.evaluation.bootstrap import Ranking, curve_bands
from covid19.evaluation.result import ReliabilityBin

# Placeholders for the page's colours, which differ between light and dark mode.
INK, MUTED, FIRST, SECOND = "#010101", "#020202", "#030303", "#040404"
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", FIRST: "var(--first)", SECOND: "var(--second)"}
MAX_LABEL_CHARACTERS = 16  # of a line of a probe's name
GRID = np.linspace(0, 1, 101)


def curves(history: dict[str, list[float]], name: str, label: str) -> str:
    """Loss or accuracy by epoch, for the training and the held-out images."""
    figure, axes = _new("Epoch", label)
    epochs = range(1, len(history[name]) + 1)
    marker = "s" if len(epochs) == 1 else ""
    axes.plot(epochs, history[name], color=FIRST, linewidth=2, marker=marker, label="training")
    axes.plot(epochs, history[f"val_{name}"], color=SECOND, linestyle="--", marker="o", markersize=3, label="held out")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0, top=1.02 if name == "accuracy" else None)
    return _svg(figure, axes)


def roc(score: Float64Array, positive: BoolArray, groups: Sequence[int], label: str) -> str:
    """The ROC curve with its 95 % band, resampled by patient; the label says of which images."""
    figure, axes = _new("1 - specificity", "Sensitivity")
    ranking = Ranking(score, positive)
    low, high = curve_bands(lambda weights: ranking.roc_curve(weights, GRID), groups, positive.tolist())
    axes.fill_between(GRID, low, high, color=FIRST, alpha=0.2, linewidth=0)
    axes.plot(GRID, ranking.roc_curve(np.ones((1, len(score))), GRID)[0], color=FIRST, linewidth=2, label=label)
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", label="by chance")
    _square(axes)
    return _svg(figure, axes)


def precision_recall(score: Float64Array, positive: BoolArray, groups: Sequence[int], label: str) -> str:
    """The precision-recall curve with its 95 % band, resampled by patient; the label says of which images."""
    figure, axes = _new("Sensitivity (recall)", "Precision")
    ranking = Ranking(score, positive)
    low, high = curve_bands(lambda weights: ranking.precision_curve(weights, GRID[1:]), groups, positive.tolist())
    axes.fill_between(GRID[1:], low, high, color=FIRST, alpha=0.2, linewidth=0)
    values = ranking.precision_curve(np.ones((1, len(score))), GRID[1:])[0]
    axes.plot(GRID[1:], values, color=FIRST, linewidth=2, label=label)
    axes.axhline(positive.mean(), color=MUTED, linestyle=":", label="by chance")
    _square(axes)
    return _svg(figure, axes, "lower left")


def reliability(bins: Sequence[ReliabilityBin], label: str) -> str:
    """Fraction of positives by predicted probability, with 95 % intervals; the label says of which images."""
    figure, axes = _new("Predicted probability", "Fraction that is positive")
    x = np.array([point.probability for point in bins])
    y, low, high = np.array([(point.observed.value, point.observed.low, point.observed.high) for point in bins]).T
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", label="perfect calibration")
    errors = np.clip([y - low, high - y], 0, None)
    axes.errorbar(x, y, errors, color=FIRST, fmt="o", markersize=5, capsize=3, label=label)
    _square(axes)
    return _svg(figure, axes, "lower right")


def scores(score: Float64Array, positive: BoolArray, name: str, threshold: float | None) -> str:
    """Histograms of the positive class's probability, for the positive images and the others; either may be missing."""
    name = printable(name).replace("$", r"\$")  # else Matplotlib takes it for a formula
    figure, axes = _new(f"Probability of {name}", "Images")
    bins = np.linspace(0, 1, 21).tolist()
    if positive.any():
        axes.hist(score[positive], bins, color=FIRST, alpha=0.55, label=f"is {name}")
    if not positive.all():
        axes.hist(score[~positive], bins, histtype="step", color=SECOND, linewidth=2, label="is another")
    if threshold is not None:
        axes.axvline(threshold, color=INK, linestyle="--", label="threshold")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0, 1)
    return _svg(figure, axes)


def probes(audit: AuditResult) -> str:
    """ROC AUC of each probe and of the model, with 95 % intervals; the markers of those that see no lung are filled."""
    ranked = sorted(audit.probes, key=lambda probe: (probe.lung_blind, probe.auc))
    names = ["the model", *(probe.name for probe in ranked)]  # from the bottom up
    figure, axes = _new("ROC AUC out of fold, with 95 % interval", "", height=0.9 + 0.42 * len(names))

    def draw(label: str, places: list[int], results: Sequence[ProbeResult], colour: str, marker: str, face: str) -> None:
        for place, result in zip(places, results, strict=True):
            axes.plot([result.low, result.high], [place, place], color=colour, linewidth=2)
        x = [result.auc for result in results]
        axes.plot(x, places, color=colour, marker=marker, markerfacecolor=face, markersize=8, linestyle="none", label=label)

    model = ProbeResult(
        "the model", audit.model_auc, audit.model.low, audit.model.high, None, lung_blind=False, sees_pixels=True
    )
    draw("the model", [0], [model], FIRST, "D", FIRST)
    for blind, label, colour, face in ((True, "sees no lung", SECOND, SECOND), (False, "may see lungs", MUTED, "none")):
        own = [probe for probe in ranked if probe.lung_blind is blind]
        draw(label, [1 + ranked.index(probe) for probe in own], own, colour, "o", face)
    axes.axvline(0.5, color=MUTED, linestyle=":")
    # A long name would take the place of the axes.
    axes.set_yticks(range(len(names)), [textwrap.fill(name, MAX_LABEL_CHARACTERS) for name in names])
    axes.set_xlim(0, 1.02)
    return _svg(figure, axes)


def _new(x_label: str, y_label: str, height: float = 3.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.4, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK)
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.grid(color=MUTED, alpha=0.25)
    return figure, axes


def _square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)


def _svg(figure: Figure, axes: Axes, legend: Any = "best") -> str:
    """The figure as an SVG element, its ids told apart from those of the page's other figures by its labels."""
    axes.legend(frameon=False, labelcolor=INK, fontsize=9, loc=legend)
    out = io.StringIO()
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "none", "svg.hashsalt": axes.get_xlabel() + axes.get_ylabel()}):
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the browser has the letters that Matplotlib lacks
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for sentinel, variable in VARIABLES.items():
        text = text.replace(sentinel, variable)
    return text
