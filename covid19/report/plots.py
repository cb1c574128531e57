"""plot.png: loss and accuracy by epoch, for the training and the held-out images."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covid19.core.console import printable

BLUE, ORANGE = "#1f5fa8", "#d9730d"  # of different lightness, so that they also differ in grey print


def plot_history(path: Path, history: dict[str, list[float]], weights: str) -> None:
    """Draw the four curves, loss above accuracy; solid for training, dashed with dots for held-out images.

    Args:
        path: file to write, see `outputs.OutputTransaction`; PNG whatever its ending.
        history: from `train_heads`.
        weights: a few words on the base's weights, for the title.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(7, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    epochs = range(1, len(history["loss"]) + 1)
    for axes, name in ((upper, "loss"), (lower, "accuracy")):
        axes.plot(epochs, history[name], color=BLUE, linewidth=2, marker="" if len(epochs) > 1 else "s", label="training")
        axes.plot(
            epochs, history[f"val_{name}"], color=ORANGE, linewidth=1.6, linestyle="--", marker="o", markersize=3.5,
            label="validation (held-out images)",
        )  # fmt: skip
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    upper.set_ylabel("Loss (cross-entropy, nats)")
    upper.set_ylim(bottom=0)
    upper.legend(frameon=False)
    lower.set_ylabel("Accuracy (fraction of images)")
    lower.set_ylim(-0.02, 1.02)
    lower.set_xlabel("Epoch")
    lower.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    base = printable(weights).replace("$", r"\$")  # else Matplotlib takes it for a formula
    figure.suptitle(f"Training of the head on a frozen VGG16\nbase: {base}", fontsize=12)
    figure.savefig(path, format="png", dpi=150)
