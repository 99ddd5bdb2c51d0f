"""What is said on stderr while a fit is under way."""

from __future__ import annotations

import numpy as np
import pytest

from omics.blocks import each
from omics.factors.progress import Report
from pipelines import cluster, console


@pytest.fixture
def impatient(monkeypatch):
    """Everything is shown at once."""
    for name in ("_PATIENCE", "_LINE", "_REDRAW"):
        monkeypatch.setattr(console, name, 0)


def report(iteration: int, fits: tuple[int, ...], elbo: list[float] | None = None) -> Report:
    return Report(iteration, 1000, fits, None if elbo is None else np.array(elbo), {}, 0)


def test_a_fit_says_its_iteration_its_bound_and_how_many_are_under_way(impatient, capsys):
    with console.fitting("factors", 3) as watch:
        watch(report(1, (0, 1, 2)))
        watch(report(6, (0, 1, 2), [-200.0, -100.0, -300.0]))
        watch(report(7, (0, 1, 2)))
        watch(report(11, (1, 2), [-99.0, -300.3]))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "  factors iteration 1, at most 1000, 3 of 3 fits under way",
        "  factors iteration 6, at most 1000: bound -100.0, 3 of 3 fits under way",
        "  factors iteration 7, at most 1000: bound -100.0, 3 of 3 fits under way",
        "  factors iteration 11, at most 1000: bound -99.0, changed by 1e-02, 2 of 3 fits under way",
    ]


def test_one_fit_is_not_counted(impatient, capsys):
    with console.fitting("factors", 1) as watch:
        watch(report(1, (0,)))
    assert capsys.readouterr().err == "  factors iteration 1, at most 1000\n"


def test_lines_come_now_and_then_and_not_of_a_short_fit(monkeypatch, capsys):
    with console.fitting("factors", 1) as watch:
        watch(report(1, (0,)))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(console, "_PATIENCE", 0)
    with console.fitting("factors", 1) as watch:
        for iteration in range(1, 100):
            watch(report(iteration, (0,)))
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_is_said_where_it_is_unwanted(impatient, capsys):
    with console.fitting("factors", 1, shown=False) as watch:
        watch(report(1, (0,)))
    assert capsys.readouterr().err == ""


def test_the_tasks_of_a_pass_are_no_news_while_a_fit_tells(impatient, capsys):
    with cluster.on("threads", workers=1, progress=True):
        with console.fitting("factors", 1) as watch:
            watch(report(1, (0,)))
            each(abs, range(10))
        assert "tasks" not in capsys.readouterr().err
        each(abs, range(10))
    assert "tasks 100 %" in capsys.readouterr().err
