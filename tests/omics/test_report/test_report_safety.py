"""The page: escaped, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from omics.cohort import from_table
from omics.report import write_report
from omics.report.content import Scatter
from omics.report.embedding import MAX_LEVELS, Rules, embedded
from omics.report.svg import draw
from omics.report.words import clean
from omics.schema import DataError, TryAgain, UsageError

Make = Callable[..., Any]
Trees = dict[str, Any]
HOSTILE = "<img src=x onerror=alert(1)>"
BREAKOUT = "</script></style></svg><script>alert(2)</script>"

# --- escaping -----------------------------------------------------------------------------------------------------


def test_hostile_names_are_text_everywhere(page_with: Make, reader: Make, make_trees: Make) -> None:
    formula = "$x$ \\frac{ & 日本 \x1b[31m"
    trees = make_trees(90, names=["S1", HOSTILE, BREAKOUT], known=[HOSTILE, BREAKOUT, formula])
    layer = BREAKOUT.replace("/", "|")
    for name in ("cohort", "factors"):
        nodes = {part.path: part.to_dataset(inherit=False) for part in trees[name].subtree}
        nodes[f"/views/{layer}"] = nodes.pop("/views/mutation")
        if name == "factors":
            views = np.array(["expression", "methylation", layer], dtype=object)
            nodes["/variance"] = nodes["/variance"].assign_coords(view=views)
        trees[name] = xr.DataTree.from_dict(nodes)
    text = page_with(**{**trees, "title": BREAKOUT})
    read = reader(text)
    assert not {"img"} & {tag for tag, _ in read.attributes}
    assert [attrs for tag, attrs in read.attributes if tag == "script"] == [{"type": "application/json"}, {}]
    assert sum(tag == "svg" for tag, _ in read.attributes) == sum(
        data == "svg" for data in re.findall(r"</(svg)>", text)
    )
    in_figures = "".join(data for where, data in read.text if where == "text")
    assert "<img src=x" in in_figures
    assert ("title", BREAKOUT) in read.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text)


def test_hostile_sample_is_text_in_the_account(trees: Trees, page_with: Make, reader: Make) -> None:
    cohort = trees["cohort"].copy()
    rows = pd.DataFrame({"layer": ["methylation"], "sample": [BREAKOUT], "reason": [HOSTILE]})
    cohort["excluded"] = xr.DataTree(from_table(rows))
    row = reader(page_with(cohort=cohort)).tables["What was dropped, and why"][1]
    assert row == ["methylation", HOSTILE, clean(BREAKOUT, 40), "1"]


def test_data_of_a_scatter_cannot_end_their_element() -> None:
    nasty = [BREAKOUT, HOSTILE, "a&b<!--<script>", "\u2028"]
    numbers = [1.23456789, float("nan"), -1e-9, 3.0]
    part = Scatter("one", "", nasty, {BREAKOUT: numbers}, {HOSTILE: nasty, "n": numbers}, "")
    text = embedded(part)
    assert not re.search("[<>&]", text)
    content = json.loads(text)
    assert content["samples"] == [clean(name) for name in nasty]
    assert content["columns"] == [{"name": BREAKOUT, "values": [1.235, None, -1e-9, 3]}]
    kinds = content["colourings"][0]
    assert [kinds["levels"][code] if code is not None else "" for code in kinds["codes"]] == [
        clean(name, 40) for name in nasty
    ]


def test_of_many_categories_the_rarest_are_one() -> None:
    values = [f"k{i:02d}" for i in range(30) for _ in range(30 - i)]
    one = json.loads(embedded(Scatter("one", "", values, {}, {"kind": values}, "")))["colourings"][0]
    assert one["levels"] == [*(f"k{i:02d}" for i in range(MAX_LEVELS - 1)), f"{30 - MAX_LEVELS + 1} others"]
    said = [one["levels"][code] for code in one["codes"]]
    assert all(name in (value, "11 others") for name, value in zip(said, values, strict=True))
    assert said.count("11 others") == sum(30 - i for i in range(MAX_LEVELS - 1, 30))


def test_only_a_single_declaration_becomes_a_rule() -> None:
    rules = Rules()
    assert rules("width", "12.5%") == rules("width", "12.5%") != rules("background", "#0b4f79")
    assert rules.text() == ".x0{width:12.5%}\n.x1{background:#0b4f79}\n"
    for value in ("#fff;}</style>", "red}", "url(x)", "1%;color:red"):
        with pytest.raises(ValueError, match="single declaration"):
            rules("background", value)


def test_text_that_looks_like_an_id_is_not_renamed() -> None:
    drawn = draw("one", "alt", (2, 2), lambda figure: figure.text(0.1, 0.5, 'id="a" url(#b) <g id="c">'))
    assert 'id="a" url(#b) &lt;g id="c"&gt;' in drawn


# --- writing ------------------------------------------------------------------------------------------------------


def test_an_existing_page_is_kept_unless_told(trees: Trees, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(UsageError, match="the output exists") as caught:
        write_report(path, title="x", evaluation=trees["evaluation"])
    assert "--overwrite" in str(caught.value.fix)
    assert path.read_text() == "mine"
    write_report(path, title="x", evaluation=trees["evaluation"], overwrite=True)
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert {file.name for file in tmp_path.iterdir()} == {"report.html", "report_data"}


def test_a_folder_is_refused(tmp_path: Path, make_evaluation: Make) -> None:
    with pytest.raises(UsageError, match="folder"):
        write_report(tmp_path, title="x", evaluation=make_evaluation(), overwrite=True)


def test_nothing_to_report_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no artefact was given"):
        write_report(tmp_path / "report.html", title="x")
    assert not list(tmp_path.iterdir())


def test_a_malformed_artefact_is_refused_before_anything_is_written(trees: Trees, tmp_path: Path) -> None:
    broken = trees["subtypes"].copy()
    broken["curves"] = xr.DataTree(broken["curves"].to_dataset().drop_vars("at_risk"))
    with pytest.raises(DataError, match="at_risk"):
        write_report(tmp_path / "report.html", title="x", subtypes=broken)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_the_old_page(trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    readable = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return (
            os.fdopen(os.open("/dev/full", os.O_WRONLY), "w") if "x" in mode else readable(self, mode, *args, **kwargs)
        )

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(TryAgain, match="disk is full"):
        write_report(path, title="x", evaluation=trees["evaluation"], overwrite=True)
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_an_interrupt_before_the_rename_leaves_the_old_page(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def interrupt(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_report(path, title="x", evaluation=trees["evaluation"], overwrite=True)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_page_obeys_the_umask(tmp_path: Path, make_evaluation: Make) -> None:
    before = os.umask(0o027)
    try:
        write_report(tmp_path / "report.html", title="x", evaluation=make_evaluation())
    finally:
        os.umask(before)
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o640
