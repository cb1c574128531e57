"""What is printed: lines broken between words on a terminal and left whole elsewhere, tables, nothing that a terminal obeys."""

import io

import pytest

from covid19.core.console import aligned, say, say_status, warn


class Terminal(io.StringIO):
    def isatty(self):
        return True


def open_terminal(monkeypatch):
    """A terminal of 40 columns in place of standard output and error; to be called by a test, as pytest sets both before it."""
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("sys.stderr", stream)
    return stream


def test_long_lines_are_broken_between_words_on_a_terminal_alone(monkeypatch, capsys):
    terminal = open_terminal(monkeypatch)
    say("  " + "word " * 15 + "\nshort")
    assert terminal.getvalue() == "  word word word word word word word\n  word word word word word word word\n  word\nshort\n"
    monkeypatch.undo()
    say("word " * 15)
    assert capsys.readouterr().out == "word " * 15 + "\n"


def test_a_word_longer_than_the_terminal_stays_whole(monkeypatch):
    terminal = open_terminal(monkeypatch)
    path = "/" + "folder/" * 10
    say(f"Wrote {path} now")
    assert path in terminal.getvalue().split("\n")


@pytest.mark.parametrize("print_line", [warn, lambda text: say_status(text, "explained")])
def test_a_line_break_in_a_name_begins_no_new_line(monkeypatch, print_line):
    terminal = open_terminal(monkeypatch)
    print_line("file a\nmade up")
    assert "a\\nmade up" in terminal.getvalue()


def test_a_status_is_coloured_up_to_its_colon(monkeypatch):
    terminal = open_terminal(monkeypatch)
    monkeypatch.delenv("NO_COLOR", raising=False)
    say_status("SHORTCUT: " + "do not believe it " * 4, "explained")
    lines = terminal.getvalue().split("\n")
    assert lines[1].startswith("\x1b[1;31mSHORTCUT\x1b[0m: do not")
    assert all(len(line.replace("\x1b[1;31m", "").replace("\x1b[0m", "")) <= 40 for line in lines)
    monkeypatch.setenv("NO_COLOR", "1")
    say_status("SHORTCUT: no", "explained")
    assert terminal.getvalue().endswith("\nSHORTCUT: no\n")


def test_a_table_has_its_first_column_flush_left_and_the_others_flush_right():
    assert aligned(["", "one", "b"], [["AUC", "0.5", "1.00"], ["accuracy", "1", "2"]]) == [
        "          one     b",
        "AUC       0.5  1.00",
        "accuracy    1     2",
    ]
