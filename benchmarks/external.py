"""Does `audit --predictions` say of a model what the built-in audit says? `python3 -m benchmarks.external --weights FILE`.

A scikit-learn pipeline on the backbone's features stands for somebody else's model. Its scores out of fold, and those of the
pictures that `covid19 audit --write-hidden` wrote, are given as tables; the built-in audit trains its own heads on the same
features. Writes `results/external.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.planting import plant
from benchmarks.record import provenance, table, write
from covid19.audit.hidden import FOLDERS, hidden_name
from covid19.audit.result import AuditResult
from covid19.core.executor.local import LocalExecutor
from covid19.core.keras_startup import import_keras
from covid19.core.settings import GivenScores, Settings
from covid19.data.build.phantoms import write_sample
from covid19.data.dataset import Dataset, choose_positive
from covid19.data.gathering import gather
from covid19.data.images import read_picture
from covid19.data.reader import Filter, read_dataset
from covid19.evaluation.folds import Fold, make_folds
from covid19.external_audit import audit_scores
from covid19.features.augmentation import View
from covid19.features.cache import open_caches
from covid19.hidden_pictures import write_hidden
from covid19.train import train

PLANTS = ("nothing", "marker in a corner", "shade of the border", "disc in the mediastinum", "bright edge")
COUNT = 25  # images of each class
FOLDS, REPEATS, SEED = 5, 5, 42


def read(folder: Path) -> Dataset:
    """The data set as a run reads it."""
    with open_caches(False, None, 10**9) as caches:
        return read_dataset(gather(folder), Filter(projection="any"), caches.scans, LocalExecutor(), read_picture)


def features_of(dataset: Dataset, weights_file: str) -> np.ndarray:
    """The backbone's features of each image, (n, width)."""
    from covid19.features.backbone.network import build_base
    from covid19.features.backbone.weights import get_weights
    from covid19.features.extraction import Extractor

    weights = get_weights(weights_file)
    with open_caches(False, None, 10**9) as caches:
        extractor = Extractor(caches.features, LocalExecutor(), read_picture)
        views = [View(record) for record in dataset.records]
        return np.asarray(extractor.extract(views, build_base(weights), weights.digest).features[np.arange(len(views)), 0])


def out_of_fold(
    features: np.ndarray, positive: np.ndarray, divisions: Sequence[Sequence[Fold]]
) -> list[tuple[int, int, int, float]]:
    """A row (image, repeat, fold, score) for each held-out image."""
    rows = []
    for repeat, division in enumerate(divisions):
        for number, fold in enumerate(division):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
            model.fit(features[fold.train], positive[fold.train])
            scores = model.predict_proba(features[fold.held_out])[:, 1]
            rows += [(int(image), repeat, number, float(score)) for image, score in zip(fold.held_out, scores, strict=True)]
    return rows


def write_table(path: Path, names: Sequence[str], rows: Sequence[tuple[int, int, int, float]]) -> None:
    """Add scores to a table."""
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["image", "repeat", "fold", "score"])
        writer.writerows([names[image], *rest] for image, *rest in rows)


def compare(data: Path, folder: Path, weights: str) -> tuple[AuditResult, AuditResult]:
    """The built-in audit of a data set, and that of the pipeline's scores."""
    settings = partial(Settings.from_flags, dataset=data, cache=False, model=None, plot=None, audit="full")
    built_in = train(settings(weights=weights, augmentations=0, report=folder / "built-in.json")).audit
    write_hidden(settings(), folder / "hidden")
    dataset = read(data)
    positive = np.array([record.label == choose_positive(dataset.classes, None) for record in dataset.records])
    names = [record.name for record in dataset.records]
    divisions = make_folds(positive.astype(int).tolist(), [record.group for record in dataset.records], FOLDS, REPEATS, SEED)
    write_table(folder / "scores.csv", names, out_of_fold(features_of(dataset, weights), positive, divisions))
    for probe, way in FOLDERS.items():
        hidden = read(folder / "hidden" / way)
        order = {record.name: position for position, record in enumerate(hidden.records)}
        wanted = [hidden_name(probe, name) for name in names]
        at = [order[name.partition("/")[2]] for name in wanted]
        write_table(folder / "hidden.csv", wanted, out_of_fold(features_of(hidden, weights)[at], positive, divisions))
    given = GivenScores(folder / "scores.csv", folder / "hidden.csv")
    external = audit_scores(settings(report=folder / "external.json"), given).audit
    assert built_in is not None and external is not None, "there are enough patients for an audit"
    return built_in, external


def main() -> None:
    """Compare the verdicts on phantoms, planted and clean, and on a folder of X-rays if one is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="auto", help="as for covid19 train")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="folders of X-rays to audit as well")
    parser.add_argument("--seeds", type=int, default=2, help="sets of phantoms for each planting")
    flags = parser.parse_args()
    import_keras()
    rows, same = [], 0

    def add(what: str, data: Path, folder: Path) -> None:
        nonlocal same
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            audits = compare(data, folder, flags.weights)
        verdicts = [audit.verdict for audit in audits]
        same += verdicts[0] == verdicts[1]
        cells = [
            f"{audit.verdict} ({audit.margin.probe}, {audit.margin.value:+.2f}), AUC {audit.model_auc:.2f}" for audit in audits
        ]
        rows.append([what, *cells, "yes" if verdicts[0] == verdicts[1] else "no"])
        print(rows[-1], flush=True)

    for data in flags.data:
        with tempfile.TemporaryDirectory() as name:
            add(data.name, data, Path(name))
    for what in PLANTS:
        for seed in range(flags.seeds):
            with tempfile.TemporaryDirectory() as name:
                write_sample(Path(name) / "clean", COUNT, 256, 9000 + seed)
                plant(Path(name) / "clean", Path(name) / "data", what, seed)
                add(f"phantoms, {what}", Path(name) / "data", Path(name))
    text = (
        f"Data sets of {COUNT} + {COUNT} phantoms; planted in 90 % of one class and 10 % of the other. Built in: `covid19 "
        "audit` without augmentation. By scores: logistic regression on the same features, out of fold, and on those of the "
        f"pictures that `--write-hidden` wrote. The verdict was the same on {same} of {len(rows)} data sets."
    )
    head = ["data", "built in", "by scores", "same verdict"]
    write(
        "external.md",
        "\n\n".join(["# The audit of given scores against the built-in one", provenance(), text, table(head, rows)]),
    )


if __name__ == "__main__":
    main()
