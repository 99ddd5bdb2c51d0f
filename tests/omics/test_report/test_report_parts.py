"""The parts of the page: words, ticks, counts, labels, colours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omics.report import figures
from omics.report.evaluation import verdict
from omics.report.outcomes import at_risk_at, estimate_at, horizon_of, time_ticks
from omics.report.svg import PALETTE, colours, spread
from omics.report.words import clean, count, listing, natural, number, p_value, percent


@pytest.mark.parametrize(
    ("p", "said"),
    [(0.0, "p < 0.001"), (0.00099, "p < 0.001"), (0.0012, "p = 0.001"), (0.0496, "p = 0.050"), (0.314, "p = 0.31"),
     (1.0, "p = 1.00"), (np.nan, "p not available")],
)  # fmt: skip
def test_p_value(p: float, said: str) -> None:
    assert p_value(p).replace("\N{NO-BREAK SPACE}", " ") == said


def test_words() -> None:
    assert number(-0.004) == "0.00"
    assert number(-0.5) == "−0.50"
    assert number(0.04, signed=True) == "+0.04"
    assert number(np.nan) == "–"
    assert number(1234567.8, 1) == "1,234,567.8"
    assert percent(0.123) == "12\N{NO-BREAK SPACE}%"
    assert [count(n, "patient").replace("\N{NO-BREAK SPACE}", " ") for n in (0, 1, 1200)] == [
        "0 patients", "1 patient", "1,200 patients"
    ]  # fmt: skip
    assert [listing(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert sorted(["S10", "S2", "S1"], key=natural) == ["S1", "S2", "S10"]
    assert clean("a\nb\x00c" + "d" * 300, 10) == "a b cdddd…"


@pytest.mark.parametrize("end", [0.0, 0.3, 1.0, 1.9, 5.2, 8.0, 8.01, 16.0, 33.0, 78.0])
def test_time_axis_covers_the_follow_up_with_few_ticks(end: float) -> None:
    ticks = time_ticks(end)
    steps = np.diff(ticks)
    assert ticks[0] == 0
    assert end <= ticks[-1] <= max(end, 0) + steps[0]
    assert 1 <= len(steps) <= 9
    np.testing.assert_allclose(steps, steps[0])


def test_at_risk_against_a_count() -> None:
    rng = np.random.default_rng(0)
    times = rng.integers(1, 20, 40) / 2
    distinct = np.unique(times)
    table = pd.DataFrame({"time": distinct, "at_risk": [(times >= t).sum() for t in distinct]}).sample(
        frac=1, random_state=0
    )
    asked = np.arange(0, 12, 0.25)
    assert at_risk_at(table, list(asked)) == [int((times >= t).sum()) for t in asked]


def test_estimate_is_not_extrapolated() -> None:
    curve = pd.DataFrame({"time": [0.0, 2.0, 4.0], "estimate": [0.0, 0.2, 0.3], "lower": [np.nan, 0.1, 0.2],
                          "upper": [np.nan, 0.3, 0.4], "group": "S1", "endpoint": "relapse"})  # fmt: skip
    assert estimate_at(curve, 3.0).replace("\N{NO-BREAK SPACE}", " ") == "20 % (10 to 30)"
    assert estimate_at(curve, 5.0) == "–"
    assert estimate_at(curve, 1.0).endswith("(no interval)")
    assert horizon_of(curve) == 3.0


@pytest.mark.parametrize(
    ("lower", "upper", "said"),
    [(-0.1, 0.1, "cannot conclude"), (0.01, 0.1, "first is better"), (-0.1, -0.01, "second is better"),
     (0.0, 0.1, "cannot conclude"), (np.nan, np.nan, "cannot conclude: no interval")],
)  # fmt: skip
def test_verdict(lower: float, upper: float, said: str) -> None:
    assert verdict(lower, upper).startswith(said)


def test_labels_are_spread_without_overlap() -> None:
    rng = np.random.default_rng(1)
    for n in range(1, 11):
        values = rng.choice([0.0, 0.5, 1.0], n).tolist()
        placed = np.sort(spread(values, 0.07, 0.0, 1.0))
        assert placed[0] >= 0
        assert placed[-1] <= 1
        assert (np.diff(placed) >= 0.07 - 1e-9).all()
    assert spread([0.2, 0.8], 0.07, 0, 1) == [0.2, 0.8]


def test_colours_are_the_same_for_the_same_subtype_and_apart_for_the_colour_blind() -> None:
    assert colours(["S1", "S2"])["S2"] == colours(["S1", "S2", "S3"])["S2"]
    assert len(set(PALETTE)) == len(PALETTE)
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in PALETTE])
    # Machado, Oliveira and Fernandes (2009), deuteranopia, severity 1, on linear light
    seen_as = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    seen = np.clip(rgb**2.2 @ seen_as.T, 0, 1) ** (1 / 2.2)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2) + np.eye(len(seen))
    assert apart[:6, :6].min() > 0.15


def test_curve_stays_flat_where_bounds_are_not_defined() -> None:
    table = pd.DataFrame({"group": "S1", "time": [0.0, 1.0, 2.0], "estimate": [0.0, 0.0, 0.5],
                          "lower": [np.nan, np.nan, 0.1], "upper": [np.nan, np.nan, 0.8]})  # fmt: skip
    drawn = figures.curves("relapse", table, {"S1": PALETTE[0]}, [0, 1, 2])
    assert "nan" not in drawn
    assert "S1 50" in drawn
