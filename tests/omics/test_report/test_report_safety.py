"""The page: escaped, written whole or not at all."""

from __future__ import annotations

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
    tags = {tag for tag, _ in read.attributes}
    assert not tags & {"script", "img"}
    assert sum(tag == "svg" for tag, _ in read.attributes) == sum(
        data == "svg" for data in re.findall(r"</(svg)>", text)
    )
    in_figures = "".join(data for where, data in read.text if where == "text")
    assert "<img src=x onerror" in in_figures
    assert ("title", BREAKOUT) in read.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text)


def test_hostile_sample_is_text_in_the_account(trees: Trees, page_with: Make, reader: Make) -> None:
    cohort = trees["cohort"].copy()
    rows = pd.DataFrame({"layer": ["methylation"], "sample": [BREAKOUT], "reason": [HOSTILE]})
    cohort["excluded"] = xr.DataTree(from_table(rows))
    row = reader(page_with(cohort=cohort)).tables["What was dropped, and why"][1]
    assert row == ["methylation", HOSTILE, clean(BREAKOUT, 40), "1"]


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
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


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
    full = Path("/dev/full")
    monkeypatch.setattr(Path, "open", lambda self, *args, **kwargs: os.fdopen(os.open(full, os.O_WRONLY), "w"))
    with pytest.raises(TryAgain, match="disk is full"):
        write_report(path, title="x", evaluation=trees["evaluation"], overwrite=True)
    monkeypatch.undo()
    assert path.read_text() == "old"


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
