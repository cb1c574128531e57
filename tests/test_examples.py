"""The notebooks in `examples/` run from top to bottom and come to what they say."""

import os

import nbformat
import pytest
from helpers.paths import PROJECT
from nbclient import NotebookClient

NOTEBOOK = PROJECT / "examples" / "is_the_accuracy_real.ipynb"


def words_of(notebook):
    """What the code cells print, without the progress that comes before the results."""
    outputs = (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    return "\n".join(output.text for output in outputs if output.get("name") == "stdout")


def test_the_notebook_is_stored_with_its_outputs_and_no_path_of_a_machine():
    stored = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(stored)
    assert all(cell.outputs for cell in stored.cells if cell.cell_type == "code" and "print(" in cell.source)
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not [place for place in ("/tmp/", "/home/", "/work/", "/root/") if place in text]


@pytest.mark.slow
def test_the_notebook_finds_the_planted_shortcut_and_mends_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(PROJECT), os.environ.get("PYTHONPATH", ""))))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    words = words_of(notebook)
    assert "clean                 none-found" in words
    assert "planted               explained" in words
    assert "planted, lungs alone  none-found" in words
    assert "\nPARTLY: " in words[words.index("planted, lungs alone") :]  # the scikit-learn model's verdict
