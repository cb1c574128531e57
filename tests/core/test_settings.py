"""The groups of settings: flags reach their group, and what is saved is named as the flags are."""

from pathlib import Path

import pytest

from covid19.core.outputs import json_text
from covid19.core.settings import DataSettings, Settings, take


def test_flags_reach_their_groups_and_the_rest_keeps_its_defaults():
    settings = Settings.from_flags(dataset=Path("data"), epochs=3, folds=2, audit="full", cache=False, plot=None, command="x")
    assert settings.data == DataSettings(Path("data"))
    assert (settings.training.epochs, settings.evaluation.folds, settings.audit.level) == (3, 2, "full")
    assert (settings.compute.cache, settings.output.plot, settings.command) == (False, None, "x")
    assert Settings.from_flags(dataset=Path("data")) == Settings(DataSettings(Path("data")))


def test_a_name_that_is_no_setting_is_refused():
    with pytest.raises(TypeError, match="no group of settings has the field 'epoch'"):
        Settings.from_flags(dataset=Path("data"), epoch=3)


def test_a_group_takes_its_own_flags_and_leaves_the_others():
    flat = {"dataset": Path("data"), "projection": "any", "model": Path("m")}
    assert take(DataSettings, flat) == DataSettings(Path("data"), projection="any")
    assert flat == {"model": Path("m")}


def test_settings_are_saved_flat_by_the_names_of_the_flags():
    saved = Settings.from_flags(dataset=Path("data"), audit="none", lung_masks=Path("masks")).as_json()
    assert (saved["dataset"], saved["audit"], saved["lung_masks"], saved["start_from"]) == ("data", "none", "masks", None)
    assert saved["lung_box"] == (0.12, 0.15, 0.88, 0.85)
    assert "level" not in saved
    json_text(saved)


def test_the_page_lies_beside_the_report_and_no_file_is_written_that_is_not_wanted():
    output = Settings.from_flags(dataset=Path("data"), model=None, plot=None, report=Path("out/audit.json")).output
    assert output.files() == (Path("out/audit.json"), Path("out/audit.html"))
