"""`covid19 audit`: a training run that writes neither model nor plot, with every probe; or the audit of given scores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from covid19.cli.commands import train
from covid19.cli.exit_codes import ExitCode, verdict_exit_code
from covid19.cli.flags import add_dataset_flag, add_run_flags
from covid19.cli.values import address
from covid19.core.errors import InputError
from covid19.core.settings import DataSettings, GivenScores, Settings

SUMMARY = "look for shortcuts: can the classes be told apart without the lungs?"
# Flags of a training run that say nothing to a model which was trained elsewhere, by their names among the settings.
OF_TRAINING = {
    "learning_rate": "--learning-rate",
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "augmentations": "--augmentations",
    "rotation": "--rotation",
    "weights": "--weights",
    "start_from": "--from",
    "split": "--split",
    "test_size": "--test-size",
    "threshold": "--threshold",
    "prevalence": "--prevalence",
    "groups": "--no-groups",
    "cluster": "--cluster",
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the audit command: those of a training run, without model and plot, and the tables of scores."""
    add = parser.add_argument
    add_dataset_flag(parser)
    add(
        "-r",
        "--report",
        type=Path,
        default=Path("audit.json"),
        metavar="FILE",
        help="report to write, JSON; the page is written beside it (default %(default)s)",
    )
    add(
        "--predictions",
        type=address,
        metavar="FILE",
        help="audit any model by its scores out of fold: a table with the columns image and score (higher for the positive "
        "class) or one for each class, and perhaps fold and repeat; nothing is trained, and Keras is not needed",
    )
    add(
        "--hidden-predictions",
        type=address,
        metavar="FILE",
        help="with --predictions: the same model's scores of the pictures that --write-hidden wrote",
    )
    add(
        "--write-hidden",
        type=Path,
        metavar="DIR",
        help="only write the images with their lungs hidden into this new folder, for a model of your own to score",
    )
    parser.set_defaults(audit="full", model=None, plot=None)
    add_run_flags(parser)


def run(
    predictions: Path | None, hidden_predictions: Path | None, write_hidden: Path | None, fail_on: str | None, **given: Any
) -> ExitCode:  # fmt: skip
    """Audit by training, or audit given scores, or write the pictures for them."""
    if hidden_predictions and not predictions:
        raise InputError("--hidden-predictions was given alone; expected the scores of the images too: give --predictions")
    if predictions and write_hidden:
        raise InputError("--write-hidden was given with --predictions; expected one of them: leave out the other")
    if predictions:
        from covid19.external_audit import audit_scores

        settings = without_training(given, "--predictions")
        return verdict_exit_code(audit_scores(settings, GivenScores(predictions, hidden_predictions)), fail_on)
    if write_hidden:
        from covid19.hidden_pictures import write_hidden as write

        write(without_training(given, "--write-hidden"), write_hidden)
        return ExitCode.DONE
    return train.run(fail_on, **given)


def without_training(given: dict[str, Any], flag: str) -> Settings:
    """The settings of a run that trains nothing: flags that would change nothing are refused, rather than ignored."""
    settings = Settings.from_flags(**given)
    own, default = settings.as_json(), Settings(DataSettings(settings.data.dataset)).as_json()
    for name, training_flag in OF_TRAINING.items():
        if own[name] != default[name]:
            raise InputError(
                f"{training_flag} was given with {flag}, which trains nothing; expected flags of the data and the audit alone: "
                f"leave out {training_flag}"
            )
    return settings
