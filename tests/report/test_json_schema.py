"""The JSON Schemas of the reports: generated from the types, and real reports agree with them."""

import copy
import json

import jsonschema
import msgspec
import pytest

from covid19.report.json_schema import FOLDER, REPORTS, schema_text
from covid19.report.result import Report, report_text


def validator(name):
    return jsonschema.Draft202012Validator(json.loads((FOLDER / name).read_text()))


@pytest.mark.parametrize("name", REPORTS)
def test_the_committed_schema_is_that_of_the_types(name):
    assert (FOLDER / name).read_text() == schema_text(REPORTS[name]), "run: python3 -m covid19.report.json_schema"
    jsonschema.Draft202012Validator.check_schema(json.loads((FOLDER / name).read_text()))


def test_a_real_report_agrees_with_the_schema_and_reads_back_as_it_was_written(run):
    text = run.settings.output.report.read_text()
    validator("metrics.schema.json").validate(json.loads(text))
    assert report_text(msgspec.json.decode(text, type=Report)) == text
    assert json.loads(text)["schema_version"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report.pop("notice"), "'notice' is a required property"),
        (lambda report: report.pop("schema_version"), "'schema_version' is a required property"),
        (lambda report: report["test"]["accuracy"].update(value=1.5), "1.5 is greater than the maximum of 1"),
        (lambda report: report["dataset"].update(images=-1), "-1 is less than the minimum of 0"),
        (lambda report: report.update(schema_version=2), "2 is not one of"),
        (lambda report: report["training"]["history"].update(loss=[None]), "None is not of type 'number'"),
    ],
)
def test_a_report_that_breaks_the_schema_is_refused(run, change, message):
    report = copy.deepcopy(run.report)
    change(report)
    errors = [error.message for error in validator("metrics.schema.json").iter_errors(report)]
    assert any(message in error for error in [*errors, *_causes(validator("metrics.schema.json"), report)])


def _causes(schema, report):
    return [cause.message for error in schema.iter_errors(report) for cause in error.context]
