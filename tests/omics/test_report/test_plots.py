"""Drawings of what was found: the same bytes, names as text, nothing and one row; marks that say whose they are."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from omics.report import effects, grids, oncoprint, patients
from omics.report.svg import draw, fitted, identify, width_of
from tests.drawings import (
    HOSTILE,
    RNG,
    SVG,
    account,
    expressed,
    features,
    hazards,
    marks,
    mutations,
    parsed,
    scores,
    sets,
    square,
    volcano_of,
    words,
)  # fmt: skip

DRAWN: dict[str, Callable[[], str]] = {
    "oncoprint": lambda: oncoprint.oncoprint(*mutations(60, 8)),
    "oncoprint, picture": lambda: oncoprint.oncoprint(*mutations(450, 8)),
    "volcano": lambda: volcano_of(200, 20),
    "volcano, picture": lambda: volcano_of(5000, 20),
    "forest": lambda: effects.hazard_forest(hazards(9), name="f", title="Relapse", says=("less", "more")),
    "heat map": lambda: grids.heatmap(square(5, 4), square(5, 4).abs(), name="h", title="Association"),
    "scatter": lambda: patients.factor_scatter(scores(40), "Factor1", "Factor2", scores(40)["Factor1"], name="s"),
    "sets": lambda: grids.enrichment_dots(sets(4, 5), by="factor", name="e", title="Sets", value="t"),
    "antigens": lambda: grids.antigens(expressed(4, 3)),
    "flow": lambda: patients.exclusion_flow(account(), [("in the model", 200)]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_two_drawings_are_the_same_bytes_with_words_in_them(name: str) -> None:
    first = DRAWN[name]()
    assert first == DRAWN[name]()
    assert words(parsed(first))
    assert "style=" not in first


@pytest.mark.parametrize("name", DRAWN)
def test_ids_inside_start_with_the_name_of_the_drawing(name: str) -> None:
    root = parsed(DRAWN[name]())
    ids = [str(element.get("id")) for element in root.iter() if element.get("id")]
    assert len({one.split("-")[0] for one in ids}) == 1
    used = {str(element.get("href")) for element in root.iter(SVG + "use")}
    assert used <= {f"#{one}" for one in ids}


# --- marks that say whose they are --------------------------------------------------------------------------------


def test_each_mark_has_its_own_text_whatever_it_says() -> None:
    samples = ["a", *HOSTILE[:3], '<g id="x-marks-5b5d">', "last"]
    tips = [f"tip {i} {text}" for i, text in enumerate(samples)]

    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        identify(axes.scatter(range(6), range(6)), tips, samples)
        identify(axes.plot(range(6), range(6), "s", linestyle="none")[0], tips)
        figure.text(0.5, 0.5, '<g id="one-marks-5b5d">')

    root = parsed(draw("one", "alt", (3, 3), plot))
    found = marks(root)
    assert [one.get("data-tip") for one in found] == [*(t[:199] + "…" if len(t) > 200 else t for t in tips)] * 2
    assert [one.get("data-sample") for one in found] == [
        *(s[:199] + "…" if len(s) > 200 else s for s in samples), *[None] * 6
    ]  # fmt: skip
    x = [float(str(one.get("x"))) for one in found[:6]]
    np.testing.assert_allclose(np.diff(x), np.diff(x)[0], atol=0.011)
    assert '<g id="one-marks-5b5d">' in words(root)


@pytest.mark.parametrize("values", [[0.0, np.nan, 2.0], [0.0, 1.0]])
def test_marks_that_are_not_as_many_as_the_texts_are_refused(values: list[float]) -> None:
    def plot(figure: Figure) -> None:
        axes = figure.subplots()
        identify(axes.plot(values, values, "o", linestyle="none")[0], ["a", "b", "c"])
        axes.plot([0, 1], [0, 1], "o", linestyle="none")

    with pytest.raises(ValueError, match="zip"):
        draw("one", "alt", (3, 3), plot)


@pytest.mark.parametrize("text", [*HOSTILE, "x", "iiiiiiiiii" * 9])
def test_texts_are_cut_where_they_would_be_wider(text: str) -> None:
    cut = fitted(text, 0.5)
    assert width_of(cut) <= 0.5
    assert cut == fitted(text, 9) or cut.endswith("…")


# --- names, and nothing -------------------------------------------------------------------------------------------


def hostile_oncoprint() -> str:
    cells, genes, samples = mutations(30, 5, HOSTILE[:3])
    genes = genes.assign(gene=list(HOSTILE))
    cells = cells.assign(gene=cells["gene"].map(lambda gene: HOSTILE[int(gene[4:])]), classification=HOSTILE[0])
    tracks = pd.DataFrame({one: np.resize(np.array(HOSTILE, dtype=object), 30) for one in HOSTILE}, samples["sample"])
    return oncoprint.oncoprint(cells, genes, samples.assign(subtype=HOSTILE[0]), tracks)


def hostile_flow() -> str:
    return patients.exclusion_flow(account(HOSTILE[:3], HOSTILE[0]), [(one, 5) for one in HOSTILE])


def hostile_square() -> str:
    values = pd.DataFrame(RNG(0).normal(size=(5, 5)), list(HOSTILE), list(HOSTILE))
    return grids.heatmap(values, values.abs(), name="h", title=HOSTILE[0])


def hostile_scatter() -> str:
    table = scores(30, HOSTILE)
    label = pd.Series(np.resize(np.array(HOSTILE, dtype=object), 30), table.index, name=HOSTILE[0])
    return patients.factor_scatter(table.set_axis(HOSTILE[:2], axis=1), HOSTILE[0], HOSTILE[1], label, name="s")


def hostile_volcano() -> str:
    difference, p, q, _ = features(5, 5)
    return effects.volcano(difference, p, q, HOSTILE, name="v", title=HOSTILE[0], x=HOSTILE[1])


NAMED: dict[str, Callable[[], str]] = {
    "oncoprint": hostile_oncoprint,
    "flow": hostile_flow,
    "heat map": hostile_square,
    "scatter": hostile_scatter,
    "volcano": hostile_volcano,
    "forest": lambda: effects.hazard_forest(
        hazards(5).assign(label=HOSTILE, group=HOSTILE), name="f", title=HOSTILE[0], says=(HOSTILE[0], HOSTILE[1])
    ),
    "sets": lambda: grids.enrichment_dots(
        sets(5, 1).assign(set=HOSTILE, factor=HOSTILE), by="factor", name="e", title=HOSTILE[0], value=HOSTILE[1]
    ),
    "antigens": lambda: grids.antigens(expressed(5, 1).assign(antigen=HOSTILE, subtype=HOSTILE)),
}


@pytest.mark.parametrize("name", NAMED)
def test_hostile_names_are_text(name: str) -> None:
    drawn = NAMED[name]()
    root = parsed(drawn)
    assert "<img" not in drawn
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", drawn)
    said = [*words(root), *(str(one.get("data-tip")) for one in marks(root))]
    assert any("</script><img" in one for one in said)
    assert any("$a$" in one for one in said)
    assert max(map(len, words(root))) < 200


EMPTY: dict[str, Callable[[], str]] = {
    "oncoprint": lambda: oncoprint.oncoprint(*(one.head(0) for one in mutations(5, 3))),
    "volcano": lambda: effects.volcano(np.array([]), np.array([]), np.array([]), [], name="v", title="T", x="x"),
    "volcano, missing": lambda: effects.volcano(*[np.full(2, np.nan)] * 3, ["a", "b"], name="v", title="T", x="x"),
    "forest": lambda: effects.hazard_forest(hazards(2).head(0), name="f", title="T", says=("less", "more")),
    "heat map": lambda: grids.heatmap(square(2, 2) * np.nan, name="h", title="T"),
    "heat map, no row": lambda: grids.heatmap(square(2, 2).head(0), name="h", title="T"),
    "scatter": lambda: patients.factor_scatter(scores(3) * np.nan, "Factor1", "Factor2", name="s"),
    "sets": lambda: grids.enrichment_dots(sets(2, 2).head(0), by="factor", name="e", title="T", value="t"),
    "antigens": lambda: grids.antigens(expressed(2, 2).assign(percentile=np.nan)),
    "flow": lambda: patients.exclusion_flow(account().head(0)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_draw_is_said(name: str) -> None:
    root = parsed(EMPTY[name]())
    assert words(root) == [root.get("aria-label")]


SINGLE: dict[str, tuple[Callable[[], str], int]] = {
    "oncoprint": (lambda: oncoprint.oncoprint(*mutations(1, 1)), 1),
    "volcano": (lambda: volcano_of(1, 1), 1),
    "forest": (lambda: effects.hazard_forest(hazards(1), name="f", title="T", says=("less", "more")), 0),
    "heat map": (lambda: grids.heatmap(square(1, 1), name="h", title="T"), 1),
    "heat map, zero": (lambda: grids.heatmap(square(1, 1) * 0, name="h", title="T"), 1),
    "scatter": (lambda: patients.factor_scatter(scores(1), "Factor1", "Factor2", name="s"), 1),
    "sets": (lambda: grids.enrichment_dots(sets(1, 1), by="factor", name="e", title="T", value="t"), 1),
    "antigens": (lambda: grids.antigens(expressed(1, 1)), 1),
    "flow": (lambda: patients.exclusion_flow(account(("methylation",))), 0),
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_row_is_drawn(name: str) -> None:
    make, n = SINGLE[name]
    root = parsed(make())
    assert len(marks(root)) == n
    assert words(root)
