"""The numbers beside the page: the numbers of the artefacts, harmless in a spreadsheet, whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from omics.report import write_report
from omics.report.content import Cell, Table
from omics.report.data import table_text
from omics.schema import UsageError

Trees = dict[str, Any]


@pytest.fixture(scope="module")
def folder(trees: Trees, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "all.html"
    write_report(path, title="A cohort", export_plots=True, **trees)
    return path.with_name("all_data")


def read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, sep="\t", float_precision="round_trip")


def test_results_come_back_to_the_last_bit(folder: Path, trees: Trees) -> None:
    score = trees["factors"]["factors/score"]
    table = read(folder / "numbers/factors-factors-by-sample-factor.tsv").pivot(index="sample", columns="factor")
    np.testing.assert_array_equal(table["score"][list(score["factor"].to_numpy())].to_numpy(), score.to_numpy())
    curves = trees["subtypes"]["curves"].to_dataset().to_dataframe()
    back = read(folder / "numbers/subtypes-curves.tsv")
    assert "row" not in back
    for name in ("time", "estimate", "lower", "upper", "at_risk"):
        np.testing.assert_array_equal(back[name], curves[name])
    plane = read(folder / "tables/explore-plane.tsv").set_index("sample")
    np.testing.assert_array_equal(plane[list(score["factor"].to_numpy())], score.to_numpy())
    age = trees["subtypes"]["clinical/age"].to_series()
    np.testing.assert_array_equal(plane["age"], age.loc[plane.index])


def test_tables_of_the_page_are_files_with_their_texts(folder: Path, page: str, reader: Callable[[str], Any]) -> None:
    index = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    listed = {table["caption"]: table for section in index["sections"] for table in section["tables"]}
    shown = reader(page).tables
    assert set(listed) == set(shown)
    for caption, rows in shown.items():
        text = (folder / listed[caption]["file"]).read_text(encoding="utf-8")
        back = pd.read_csv(io.StringIO(text), sep="\t", header=None, dtype=str, keep_default_na=False)
        said = back.replace(r"^'", "", regex=True).to_numpy().tolist()
        assert [[cell.strip() for cell in row] for row in said] == rows
        assert listed[caption]["rows"] == len(rows) - 1


def test_index_names_every_file_and_what_is_on_top(folder: Path, page: str) -> None:
    index = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    named = {"report.json", *index["numbers"]}
    for section in index["sections"]:
        named |= {table["file"] for table in section["tables"]}
        named |= {figure[key] for figure in section["figures"] for key in ("file", "table") if key in figure}
        assert all(len(figure["alt"]) > 20 for figure in section["figures"])
    assert named == {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert index["title"] == "A cohort"
    assert len(index["findings"]) >= 4
    assert {"section": "Prediction of relapse", "text": "Fewer patients than the criteria ask for: read the figures as "
            "description, not as evidence."} in index["warnings"]  # fmt: skip
    assert index["artefacts"]["cohort"]["versions"] == {"numpy": "2.1"}
    drawing = (folder / "figures/curves-1.svg").read_text(encoding="utf-8").split("\n", 1)[1].strip()
    assert drawing in page


def test_a_cell_that_knows_its_number_gives_it_in_full() -> None:
    value = 0.1 + 0.2
    rows = [["a", Cell("0.30 (0.1 to 0.5)", value=value)], ["b", Cell("–", value=np.nan)], ["c", "–"]]
    table = Table("T", ("Name", "Effect"), "lr", rows)
    back = pd.read_csv(io.StringIO(table_text(table)), sep="\t", float_precision="round_trip")
    assert back["Effect"][0] == value
    assert back["Effect"].isna().tolist() == [False, True, True]
    assert back["Effect (shown)"].tolist() == ["0.30 (0.1 to 0.5)", "–", "–"]


def test_a_spreadsheet_computes_nothing() -> None:
    names = ["=cmd()", "+1+1", "-2+3", "@sum(1)", "\tx", "-0.5", "+1,200", "1-2", "a\tb\nc"]
    text = table_text(Table("T", ("Name",), "l", [[name] for name in names]))
    back = pd.read_csv(io.StringIO(text), sep="\t", dtype=str)["Name"].tolist()
    assert back == ["'=cmd()", "'+1+1", "'-2+3", "'@sum(1)", "'\tx", "-0.5", "+1,200", "1-2", "a\tb\nc"]


def test_same_input_gives_the_same_files(folder: Path, trees: Trees, tmp_path: Path) -> None:
    write_report(tmp_path / "all.html", title="A cohort", export_plots=True, **trees)
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 40
    for file in files:
        assert (tmp_path / "all_data" / file.relative_to(folder)).read_bytes() == file.read_bytes()


def test_a_folder_of_the_user_is_never_replaced(trees: Trees, tmp_path: Path) -> None:
    mine = tmp_path / "report_data" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    for content in ("", "{}", '{"kind": "something else"}', "[1]"):
        if content:
            (mine.parent / "report.json").write_text(content)
        with pytest.raises(UsageError, match="not made by omics"):
            write_report(tmp_path / "report.html", title="x", evaluation=trees["evaluation"], overwrite=True)
    assert mine.read_text() == "mine"
    assert not (tmp_path / "report.html").exists()


def test_an_earlier_folder_is_replaced_only_if_told_and_wholly(
    trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "report.html"
    write_report(page, title="old", export_plots=True, **trees)
    page.unlink()
    with pytest.raises(UsageError, match="the output exists"):
        write_report(page, title="new", evaluation=trees["evaluation"])

    def interrupt(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_report(page, title="new", evaluation=trees["evaluation"], overwrite=True)
    assert json.loads((tmp_path / "report_data/report.json").read_text())["title"] == "old"
    write_report(page, title="new", evaluation=trees["evaluation"], overwrite=True)
    assert json.loads((tmp_path / "report_data/report.json").read_text())["title"] == "new"
    assert not (tmp_path / "report_data/figures").exists()
    assert {file.name for file in tmp_path.iterdir()} == {"report.html", "report_data"}
