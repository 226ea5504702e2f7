"""Progress lines and durations."""

import pytest

from nst.core import progress


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3599.9, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_duration_in_words(seconds, words):
    assert progress.format_duration(seconds) == words


def test_a_terminal_overwrites_the_line_and_keeps_what_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True, raising=False)
    line = progress.ProgressLine()
    line.show("half of it")
    line.show("all")
    line.print("done")
    assert capsys.readouterr().out == "\rhalf of it\rall       \ndone\n"


def test_a_log_gets_a_line_every_ten_seconds(monkeypatch, capsys):
    now = iter([0.0, 0.0, 9.9, 10.0, 10.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    line = progress.ProgressLine()
    for text in ("first", "too soon", "second", "again too soon"):
        line.show(text)
    assert capsys.readouterr().out == "first\nsecond\n"
