"""The commands as functions, for scripts and notebooks: keyword arguments are named as the flags and have their defaults.

Each function reads the flags of its command, so that both accept and refuse the same. Outputs that are not named go to a folder
that lives as long as the result; `Result.save` keeps them. What the commands print is in `Result.text`.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from covid19.api.data import TemporaryFolder, is_records, write_records, write_scores
from covid19.api.flags import parsed_flags, sign
from covid19.api.results import AuditedResult, Predictions, Result
from covid19.core.errors import InputError

if TYPE_CHECKING:
    from covid19.data.check_findings import Findings
    from covid19.model.load import Loaded
    from covid19.report.external_result import ExternalReport
    from covid19.report.result import AuditReport, Report

Returned = TypeVar("Returned")


class Call(NamedTuple):
    """A command to be run.

    Attributes:
        given: the values of its flags.
        folder: for what is not to be written elsewhere.
        names: of the images, if they were given as records.
    """

    given: dict[str, Any]
    folder: TemporaryFolder
    names: list[str] | None


def train(dataset: Any, **flags: Any) -> AuditedResult[Report]:
    """Train a model and report how far it can be believed: `covid19 train`.

    Args:
        dataset: a folder, or records: a mapping or a DataFrame with the columns `image` (paths or arrays), `label` and perhaps
            `patient` and `view`.
        flags: as of `covid19 train`, such as `region="lungs"` or `no_cache=True`; `start_from` for `--from`.

    Returns:
        The report of `metrics.json`; the paths of what was written are in its `files`.

    Raises:
        InputError: something given cannot be used.
    """
    outputs = {"model": "covid19.model", "plot": "plot.png", "report": "metrics.json"}
    return _train(_call("train", dataset, flags, outputs))


def audit(
    dataset: Any, *, predictions: Any = None, hidden_predictions: Any = None, **flags: Any
) -> AuditedResult[Report] | AuditedResult[AuditReport]:
    """Look for shortcuts, by training or by the scores of any model: `covid19 audit`.

    Args:
        dataset: as `train` takes it.
        predictions: scores out of fold: a table's path, columns `image` and `score`, or numbers in the order of the records.
        hidden_predictions: scores of the pictures that `write_hidden` wrote: a table's path, or columns `image` and `score`.
        flags: as of `covid19 audit`.

    Raises:
        InputError: something given cannot be used.
    """
    call = _call("audit", dataset, flags, {"report": "audit.json"})
    for name in ("write_hidden", "predictions", "hidden_predictions"):
        call.given.pop(name)
    if predictions is None:
        return _train(call)
    from covid19.cli.commands.audit import without_training
    from covid19.core.settings import GivenScores
    from covid19.external_audit import audit_scores

    settings, folder = without_training(call.given, "predictions"), call.folder.path
    table = _table(predictions, call.names, folder / "scores.csv")
    hidden = None if hidden_predictions is None else _table(hidden_predictions, None, folder / "hidden_scores.csv")
    report, text = _quietly(lambda: audit_scores(settings, GivenScores(table, hidden)))
    files = _written(report=settings.output.report, page=settings.output.page)
    return AuditedResult(report, text, files, call.folder)


def write_hidden(dataset: Any, folder: str | Path, **flags: Any) -> Path:
    """Write the images with their lungs hidden, for a model to score: `covid19 audit --write-hidden`; return the new folder.

    Args:
        dataset: as `train` takes it.
        folder: to make.
        flags: as of `covid19 audit`.

    Raises:
        InputError: the folder exists, or something given cannot be used.
    """
    from covid19.cli.commands.audit import without_training
    from covid19.hidden_pictures import write_hidden as run

    call = _call("audit", dataset, flags, {})
    for name in ("write_hidden", "predictions", "hidden_predictions"):
        call.given.pop(name)
    _quietly(lambda: run(without_training(call.given, "write_hidden"), Path(folder)))
    return Path(folder)


def evaluate(model: str | Path, dataset: Any, **flags: Any) -> AuditedResult[ExternalReport]:
    """Test a model on another data set, as it is: `covid19 evaluate`.

    Args:
        model: a file that `train` wrote.
        dataset: as `train` takes it.
        flags: as of `covid19 evaluate`.

    Raises:
        InputError: something given cannot be used.
    """
    from covid19.core.settings import ComputeSettings, DataSettings, LungSettings, take
    from covid19.evaluate import evaluate_model

    given, folder, _ = _call("evaluate", dataset, flags, {"report": "evaluation.json"})
    given["model"] = Path(model)
    data, lungs, compute = take(DataSettings, given), take(LungSettings, given), take(ComputeSettings, given)
    report, text = _quietly(lambda: evaluate_model(data=data, lungs=lungs, compute=compute, **given))
    files = _written(report=given["report"], page=given["report"].with_suffix(".html"))
    return AuditedResult(report, text, files, folder)


def check(dataset: Any, **flags: Any) -> Result[Findings]:
    """Look a data set over without training: `covid19 check`.

    Args:
        dataset: as `train` takes it.
        flags: as of `covid19 check`.

    Raises:
        InputError: something given cannot be used.
    """
    from covid19.cli.commands.check import find
    from covid19.data.check_findings import describe

    call = _call("check", dataset, flags, {})  # its folder, with the records, lives as long as it
    call.given.pop("as_json")
    findings, _ = _quietly(lambda: find(**call.given))
    return Result(findings, describe(findings))


def predict(model: str | Path, inputs: str | Path | Sequence[str | Path], **flags: Any) -> Result[Predictions]:
    """Ask a model about images: `covid19 predict`.

    Args:
        model: a file that `train` wrote.
        inputs: images, or folders of images.
        flags: as of `covid19 predict`.

    Raises:
        InputError: something given cannot be used.
    """
    from covid19.cli.commands.predict import run

    paths = [Path(inputs)] if isinstance(inputs, str | Path) else [Path(path) for path in inputs]
    given = parsed_flags("predict", flags) | {"model": Path(model), "inputs": paths, "output": "json"}
    _, text = _quietly(lambda: run(**given))
    found = msgspec.convert(json.loads(text), Predictions)
    lines = [f"{answer.file}: {answer.label or answer.problem}" for answer in found.answers]
    return Result(found, "\n".join([*lines, str(found.model["notice"])]))


def load_model(path: str | Path) -> Loaded:
    """Read a model that `train` wrote as a Keras model, see `covid19.model.load.load_model`.

    Args:
        path: of the file.

    Raises:
        InputError: the file is missing, damaged, tampered with, or was not written by this program.
    """
    from covid19.core.keras_startup import import_keras

    import_keras()
    from covid19.model.load import load_model as load

    return load(path)


def _call(command: str, dataset: Any, flags: dict[str, Any], outputs: dict[str, str]) -> Call:
    """What a command is given: its flags, its data, and a temporary folder for the outputs that no flag names."""
    given, folder = parsed_flags(command, flags), TemporaryFolder()
    given.pop("fail_on", None)
    given |= {name: folder.path / file for name, file in outputs.items() if name not in flags}
    if not is_records(dataset):
        return Call(given | parsed_flags(command, {"dataset": dataset}, defaults=False), folder, None)
    if given["labels"]:
        raise InputError("labels was given with records, which have their own; expected one of them: leave out labels")
    written = write_records(dataset, folder.path)
    return Call(given | {"dataset": written.folder, "labels": (written.table,)}, folder, written.names)


def _train(call: Call) -> AuditedResult[Report]:
    """Train, or audit by training where no model is to be written."""
    from covid19.core.settings import Settings
    from covid19.train import train as run

    settings = Settings.from_flags(**call.given)
    report, text = _quietly(lambda: run(settings))
    output = settings.output
    files = _written(report=output.report, page=output.page, model=output.model, plot=output.plot)
    return AuditedResult(report, text, files, call.folder)


def _table(scores: Any, names: list[str] | None, path: Path) -> Path:
    """A table of scores: its path, or what was given in Python, written."""
    return Path(scores) if isinstance(scores, str | Path) else write_scores(scores, names, path)


def _quietly(run: Callable[[], Returned]) -> tuple[Returned, str]:
    """What a function returns, and what it printed after its progress; warnings go to standard error as always."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = run()
    return result, f"\n{printed.getvalue()}".split("\n\n", 1)[-1].strip()  # an empty line comes before the results


def _written(**paths: Path | None) -> dict[str, Path]:
    """The files that exist, by kind."""
    return {kind: path for kind, path in paths.items() if path and path.is_file()}


for _function, _command in ((train, "train"), (audit, "audit"), (evaluate, "evaluate"), (check, "check"), (predict, "predict")):
    sign(_function, _command)
