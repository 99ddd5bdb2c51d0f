"""Drawings of what was found: as many marks as data, where and as they should be, and few bytes."""

from __future__ import annotations

import base64
import io
import re
import time
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from omics.report import effects, grids, oncoprint, patients
from omics.report.svg import ACCENT, PALETTE
from tests.drawings import (
    RNG,
    SVG,
    account,
    bytes_of,
    expressed,
    features,
    hazards,
    marks,
    mutations,
    parsed,
    scores,
    square,
    volcano_of,
    words,
)  # fmt: skip


def height(text: ET.Element) -> float:
    """How far down a text stands."""
    moved = re.match(r"translate\(\S+ ([-\d.]+)\)", str(text.get("transform")))
    return float(moved[1] if moved else str(text.get("y")))


def pixels(drawn: str) -> np.ndarray:
    """The one picture of a drawing, shape (line, column, colour)."""
    (image,) = parsed(drawn).iter(SVG + "image")
    content = base64.b64decode(str(image.get("href")).split(",")[1])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)


# --- oncoprint ----------------------------------------------------------------------------------------------------


def test_oncoprint_has_every_cell_and_patient() -> None:
    cells, genes, samples = mutations(90, 12)
    root = parsed(oncoprint.oncoprint(cells, genes, samples))
    kinds = list(oncoprint.KINDS)
    drawn = {
        kinds[int(str(group.get("id")).rsplit("-", 1)[1])]: sum(
            str(p.get("d")).count("M") for p in group.iter(SVG + "path")
        )
        for group in root.iter(SVG + "g")
        if "cells-" in str(group.get("id"))
    }
    kind = {"Missense_Mutation": "missense", "Nonsense_Mutation": "truncating", "Multi_Hit": "several", "Odd": "other",
            "In_Frame_Ins": "in frame, ITD", "Splice_Site": "splice site", "Fusion": "fusion"}  # fmt: skip
    counted = cells["classification"].map(kind).value_counts()
    assert drawn == {name: n * (2 if name in ("several", "fusion") else 1) for name, n in counted.items()}
    assert [one.get("data-sample") for one in marks(root)] == samples["sample"].tolist()
    first = marks(root)[0]
    assert all(
        gene in str(first.get("data-tip")) for gene in cells.loc[cells["sample"] == first.get("data-sample"), "gene"]
    )
    assert {
        f"{100 * share:.0f}\N{NO-BREAK SPACE}% ({n})"
        for share, n in zip(genes["share"], genes["n_mutated"], strict=True)
    } <= set(words(root))


def test_oncoprint_of_few_patients_puts_each_cell_at_its_gene_and_patient() -> None:
    cells = pd.DataFrame([("B", "P1", "Nonsense_Mutation")], columns=["gene", "sample", "classification"])
    genes = pd.DataFrame({"gene": ["A", "B", "C"], "n_mutated": 1, "share": 1 / 3})
    samples = pd.DataFrame({"sample": ["P0", "P1", "P2"], "subtype": ""})
    root = parsed(oncoprint.oncoprint(cells, genes, samples))
    middle = [np.array(re.findall(r"[-\d.]+", str(one.get("d"))), float).reshape(-1, 2) for one in marks(root)]
    cell = next(g for g in root.iter(SVG + "g") if "cells-" in str(g.get("id")))
    corners = np.array(re.findall(r"[-\d.]+", str(next(iter(cell)).get("d"))), float).reshape(-1, 2)
    np.testing.assert_allclose(
        corners.min(axis=0) + corners.max(axis=0), middle[1].min(axis=0) + middle[1].max(axis=0), atol=0.05
    )
    assert middle[0][:, 0].max() <= corners[:, 0].min() <= corners[:, 0].max() <= middle[2][:, 0].min()


def test_oncoprint_tracks_say_their_classes_and_stay_white_where_unknown() -> None:
    cells, genes, samples = mutations(20, 3)
    tracks = pd.DataFrame({"relapse": ["yes", "no", None, np.nan] * 5}, index=samples["sample"])
    said = words(parsed(oncoprint.oncoprint(cells, genes, samples, tracks)))
    assert {"relapse", "yes", "no", "subtype", "S1"} <= set(said)
    assert not {"nan", "None"} & set(said)


def test_oncoprint_colours_subtypes_as_the_page_does() -> None:
    cells, genes, samples = mutations(20, 3)
    drawn = oncoprint.oncoprint(cells, genes, samples, names=["S9", "S1", "S2", "S3"])
    s1 = drawn.index(">S1<")
    assert f'"{PALETTE[1].lower()}"' in drawn[s1 - 900 : s1]


def test_large_oncoprint_is_small_and_quick() -> None:
    given = mutations(2000, 30)
    start = time.perf_counter()
    drawn = oncoprint.oncoprint(
        *given, pd.DataFrame({"relapse": RNG(0).choice(["yes", "no"], 2000)}, given[2]["sample"])
    )
    assert time.perf_counter() - start < 3
    assert bytes_of(drawn) < 500_000
    root = parsed(drawn)
    assert not marks(root)
    assert list(root.iter(SVG + "image"))


@pytest.mark.parametrize("n", [450, 2000])
def test_picture_of_an_oncoprint_leaves_no_patient_out(n: int) -> None:
    _, genes, samples = mutations(n, 2)
    carriers = [0, 1, n // 2, n - 1]
    cells = pd.DataFrame({"gene": "GENE1", "sample": samples["sample"].iloc[carriers], "classification": "Nonsense"})
    with_cells, without = (pixels(oncoprint.oncoprint(one, genes, samples)) for one in (cells, cells.head(0)))
    full = (np.array(to_rgb(PALETTE[1])) - to_rgb("#e9edf0")) * 255
    shade = (with_cells - without) @ full / (full @ full) * round(n / with_cells.shape[1])
    upper, lower = np.split(shade.sum(axis=1), 2)
    np.testing.assert_allclose(upper, 0, atol=0.02)
    assert lower[2] == pytest.approx(len(carriers), rel=0.02)


# --- volcano ------------------------------------------------------------------------------------------------------


def test_volcano_names_the_leading_features_where_they_do_not_overlap() -> None:
    difference, p, q, names = features(400, 30)
    root = parsed(effects.volcano(difference, p, q, names, name="v", title="S1", x="log2 CPM"))
    leading = sorted(range(400), key=lambda i: p[i])[:12]
    assert {str(one.get("data-tip")) for one in marks(root)} == {names[i] for i in leading}
    assert {names[i] for i in leading} <= set(words(root))
    assert sum(1 for _ in root.iter(SVG + "use")) >= 400 + 12
    for right in (True, False):
        mine = {names[i] for i in leading if (difference[i] > 0) == right}
        heights = sorted(height(one) for one in root.iter(SVG + "text") if "".join(one.itertext()) in mine)
        assert len(heights) == len(mine) > 1
        assert (np.diff(heights) >= 8).all()  # points: the size of the letters


def test_volcano_says_how_many_are_called() -> None:
    difference, p, q, names = features(400, 30)
    alt = str(parsed(effects.volcano(difference, p, q, names, name="v", title="S1", x="log2 CPM")).get("aria-label"))
    assert f"{(difference[:30] > 0).sum()} are higher and {(difference[:30] < 0).sum()} lower" in alt
    assert "400 features" in alt


def test_volcano_of_missing_and_zero_p_values() -> None:
    p, q = np.array([0.0, 1e-5, np.nan, 0.9]), np.array([0.0, 1e-4, np.nan, 0.9])
    drawn = effects.volcano(np.array([1.0, -1.0, 3.0, np.inf]), p, q, list("abcd"), name="v", title="T", x="x")
    assert {str(one.get("data-tip")) for one in marks(parsed(drawn))} == {"a", "b"}
    assert "nan" not in drawn


def test_volcano_without_a_call_draws_no_line() -> None:
    said = words(parsed(volcano_of(50, 0)))
    assert not any("FDR" in one for one in said)


def test_large_volcano_is_small_and_quick() -> None:
    rng = RNG(0)
    n = 850_000
    z, spread = rng.normal(size=n) * rng.choice([1.0, 3.0], n), rng.uniform(0.5, 1.5, n)
    p = 10.0 ** -(z**2 / 3)
    start = time.perf_counter()
    drawn = effects.volcano(z * spread, p, p * 20, [""] * n, name="v", title="T", x="x")
    assert time.perf_counter() - start < 5
    assert bytes_of(drawn) < 300_000


# --- forest -------------------------------------------------------------------------------------------------------


def test_forest_writes_each_row_at_the_height_of_its_square() -> None:
    rows = hazards(12)
    root = parsed(effects.hazard_forest(rows, name="f", title="Relapse", says=("less", "more")))
    said = words(root)
    assert [one for one in said if one.startswith("Variable")] == ["Variable 0", "Variable 1", "Variable 2"]
    text = {"".join(one.itertext()): height(one) for one in root.iter(SVG + "text")}
    squares = [float(str(one.get("y"))) for one in root.iter(SVG + "use") if one.get("fill") == ACCENT]
    assert len(squares) == 12
    np.testing.assert_allclose([text[f"{n:,}"] for n in rows["n"]], np.array(squares) + 3, atol=1.5)


@pytest.mark.parametrize(
    ("lower", "upper", "arrows"), [(0.5, 3.0, 0), (1e-6, 3.0, 1), (0.5, 1e6, 1), (0.0, np.inf, 2), (np.nan, np.nan, 0)]
)
def test_forest_marks_intervals_that_leave_the_axis(lower: float, upper: float, arrows: int) -> None:
    rows = hazards(2).assign(estimate=1.2, lower=[0.9, lower], upper=[1.5, upper])
    drawn = effects.hazard_forest(rows, name="f", title="Relapse", says=("less", "more"))
    plain = effects.hazard_forest(rows.assign(lower=0.9, upper=1.5), name="f", title="Relapse", says=("less", "more"))
    shapes = [len({one.get("href") for one in parsed(text).iter(SVG + "use")}) for text in (drawn, plain)]
    assert shapes[0] - shapes[1] == arrows


def test_forest_writes_what_it_cannot_draw() -> None:
    rows = hazards(3).assign(estimate=[1.0, np.nan, np.nan], lower=np.nan, upper=np.nan, p_value=np.nan)
    drawn = effects.hazard_forest(rows, name="f", title="Relapse", says=("less", "more"))
    assert words(parsed(drawn)).count("–") == 2
    assert "nan" not in drawn


def test_forest_of_forty_rows_is_small() -> None:
    drawn = effects.hazard_forest(hazards(40), name="f", title="Relapse", says=("less", "more"))
    assert bytes_of(drawn) < 100_000


# --- grids --------------------------------------------------------------------------------------------------------


def test_heat_map_colours_by_sign_and_stars_what_is_sure() -> None:
    values = square(4, 3)
    values.iloc[1, 2] = np.nan
    q = pd.DataFrame(0.5, values.index, values.columns)
    q.iloc[0, 0] = q.iloc[1, 2] = 0.001
    root = parsed(grids.heatmap(values, q, name="h", title="Association"))
    found = marks(root)
    assert len(found) == 11
    colours = {str(one.get("data-tip")).split(":")[0]: str(one.get("fill")) for one in found}
    for (row, column), value in values.stack().items():
        red, blue = (int(colours[f"{row}, {column}"][i : i + 2], 16) for i in (1, 5))
        assert (red > blue) == (value > 0)
    assert [one for one in words(root) if one.endswith("*")] == [f"{values.iat[0, 0]:.2f}*".replace("-", "−")]


def test_large_heat_map_leaves_the_numbers_to_the_tips() -> None:
    values = square(15, 40)
    drawn = grids.heatmap(values, values.abs() / 10, name="h", title="Association")
    root = parsed(drawn)
    assert len(marks(root)) == 600
    assert words(root).count("*") == int((values.abs() / 10 < 0.05).sum().sum())
    assert bytes_of(drawn) < 300_000


def test_dots_are_as_many_as_tests_and_larger_where_surer() -> None:
    table = pd.DataFrame({"set": ["A", "A", "B", "B"], "factor": ["Factor2", "Factor10", "Factor2", "Factor2"],
                          "statistic": [3.0, -3.0, 0.1, 0.2], "q_value": [1e-8, 1e-3, 0.9, 0.5]})  # fmt: skip
    root = parsed(grids.enrichment_dots(table, by="factor", name="e", title="Sets", value="t"))
    found = {
        str(one.get("data-tip")): np.array(re.findall(r"[-\d.]+", str(one.get("d"))), float) for one in marks(root)
    }
    assert [one.split(":")[0] for one in found] == ["A, Factor2", "A, Factor10", "B, Factor2"]
    size = [np.ptp(numbers[::2]) for numbers in found.values()]
    assert size[0] > size[1] > size[2]
    assert size[0] / size[1] == pytest.approx(np.sqrt(8 / 3), rel=0.02)
    assert any("0.20, q = 0.5" in one for one in found)
    said = words(root)
    assert said.index("Factor2") < said.index("Factor10")


def test_antigens_are_dots_of_their_homogeneity() -> None:
    root = parsed(grids.antigens(expressed(6, 4)))
    assert len(marks(root)) == 24
    tips = [str(one.get("data-tip")) for one in marks(root)]
    first = expressed(6, 4).iloc[0]
    assert tips[0].replace("\N{NO-BREAK SPACE}", " ") == (
        f"CD0, S1: median percentile {100 * first['percentile']:.0f} %, homogeneity {100 * first['homogeneity']:.0f} %"
    )


# --- patients -----------------------------------------------------------------------------------------------------


def test_scatter_has_every_patient_once_at_its_scores() -> None:
    table = scores(300)
    table.iloc[5, 0] = np.nan
    label = pd.Series(["S1", "S2", None] * 100, table.index, name="subtype")
    root = parsed(patients.factor_scatter(table, "Factor1", "Factor2", label, name="s"))
    found = marks(root)
    x = pd.Series({one.get("data-sample"): float(str(one.get("x"))) for one in found})
    assert len(found) == len(x) == 299
    known = table["Factor1"].dropna()
    slope, start = np.polyfit(known, x[known.index], 1)
    np.testing.assert_allclose(x[known.index], slope * known + start, atol=0.02)
    tip = {one.get("data-sample"): str(one.get("data-tip")) for one in found}
    assert tip["P0"].startswith("subtype S1;")
    assert tip["P2"].startswith("subtype –;")
    assert {"S1", "S2", "not known"} <= set(words(root))


def test_scatter_by_number_has_a_scale_and_grey_for_what_is_missing() -> None:
    table = scores(50)
    number = pd.Series(np.arange(50.0), table.index, name="age")
    number.iloc[[3, 4]] = np.nan
    root = parsed(patients.factor_scatter(table, "Factor1", "Factor2", number, name="s"))
    found = {str(one.get("data-sample")): one for one in marks(root)}
    assert len(found) == 50
    assert len({found[f"P{i}"].get("fill") for i in range(50) if i not in (3, 4)}) > 40
    assert {found["P3"].get("fill"), found["P4"].get("fill")} == {None}  # told by their group
    assert {"age", "not known"} <= set(words(root))


def test_scatter_of_more_classes_than_colours_says_that_there_are_others() -> None:
    table = scores(130)
    label = pd.Series([f"level {i % 13}" for i in range(130)], table.index, name="site")
    root = parsed(patients.factor_scatter(table, "Factor1", "Factor2", label, name="s"))
    assert len(marks(root)) == 130
    assert [one for one in words(root) if one.startswith(("level", "others"))] == [
        *(f"level {i}" for i in range(9)), "others"
    ]  # fmt: skip


@pytest.mark.parametrize(("n", "marked", "size"), [(2000, 2000, 450_000), (2001, 0, 600_000)])
def test_large_scatter_is_small(n: int, marked: int, size: int) -> None:
    table = scores(n)
    drawn = patients.factor_scatter(table, "Factor1", "Factor2", table["Factor1"].rename("age"), name="s")
    assert len(marks(parsed(drawn))) == marked
    assert bytes_of(drawn) < size


def test_flow_has_every_count_of_the_account() -> None:
    drawn = patients.exclusion_flow(account(), [("outcome known", 210), ("in the model", 210)])
    said = words(parsed(drawn))
    assert {"methylation", "230 in the file", "231 in the file", "218 kept", "− 12 relapse sample", "outcome known",
            "− 13 relapse sample", "in any layer (199 in all)", "− 14"} <= set(said)  # fmt: skip
    assert [one.replace("\N{NO-BREAK SPACE}", " ") for one in said].count("210 patients") == 2
    assert not any("150" in one for one in said)


def test_flow_sums_up_rare_reasons() -> None:
    dropped = [("m", "dropped", f"r{i}", i) for i in range(8)]
    rows = pd.DataFrame([("m", "in file", "", 100), ("m", "kept", "", 72), *dropped], columns=list(account().columns))
    said = words(parsed(patients.exclusion_flow(rows)))
    assert [one for one in said if one.startswith("−")] == [
        "− 7 r7",
        "− 6 r6",
        "− 5 r5",
        "− 4 r4",
        "− 6 3 other reasons",
    ]
