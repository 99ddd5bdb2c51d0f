"""The section on replication says of whom, and of which subtypes, it speaks."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import xarray as xr

from omics.cohort import from_table
from omics.report import page
from omics.report.reading import Artefacts
from omics.report.replication import replication_section, verdict
from omics.subtypes.matching import withheld
from pipelines import summary_subtypes
from tests.interpreted import make_replication

SPACE = "\N{NO-BREAK SPACE}"
SHARED = "patients are in the reference too: what is said of them is no replication"
OTHER = "The replication is of another reference than the subtypes of this page"


def made(subtypes: xr.DataTree, n_shared: int = 0, drop: str = "") -> xr.DataTree:
    """A replication of these subtypes, all of which replicate, with as many patients of the reference."""
    label = subtypes["subtypes/label"].to_series()
    names = sorted(label.unique())
    tree = make_replication(subtypes, names)
    table = tree["replication"].to_dataset().to_dataframe()
    share = label.value_counts(normalize=True).reindex(names).to_numpy()
    table = table.assign(share_reference=share, assigned=28, replicates=1, verdict="")
    moves = pd.DataFrame({"from": names[0], "to": [names[0]], "n": n_shared, "patients": "P1", "stayed": 1.0})
    moves = moves if n_shared else moves.iloc[:0]
    judged = withheld(table.reset_index(drop=True), moves)  # as it is stored
    tree["replication"] = xr.DataTree(from_table(judged[judged["subtype"] != drop]))
    tree["moves"] = xr.DataTree(from_table(moves))
    return tree


def warnings_of(tree: xr.DataTree, subtypes: xr.DataTree | None = None, manifests: Any = None) -> list[str]:
    section = replication_section(Artefacts(replication=tree, subtypes=subtypes), manifests)
    assert section is not None
    return [part.text for part in section.parts if getattr(part, "warning", False)]


def test_patients_of_the_reference_are_said_and_nothing_replicates_in_them(
    trees: dict[str, Any], page_with: Any, reader: Any
) -> None:
    tree = made(trees["subtypes"], 120)
    read = reader(page_with(subtypes=trees["subtypes"], replication=tree))
    assert warnings_of(tree) == [f"120 {SHARED}."]
    assert {row[1] for row in read.tables["Do the subtypes replicate?"][1:]} == {"cannot be judged"}
    words = read.words.replace(SPACE, " ")
    assert "S2 cannot be judged: 120 of 120 patients are in the reference too." in words
    assert f"in 120 patients, 0 replicate; 4 cannot be judged. 120 {SHARED}." in words
    assert "No section of this report raises a warning" not in words
    assert "made without them" not in words
    artefacts = Artefacts(subtypes=trees["subtypes"], replication=tree)
    assert ("Replication in another cohort", f"120 {SHARED}.") in page.compose("", artefacts, {}).warnings


def test_few_patients_of_the_reference_are_said_and_the_others_judged(trees: dict[str, Any]) -> None:
    tree = made(trees["subtypes"], 2)
    assert warnings_of(tree) == [f"2 {SHARED}."]
    assert verdict(tree).replace(SPACE, " ").endswith(f"in 120 patients, 4 replicate. 2 {SHARED}.")


def test_without_patients_of_the_reference_nothing_is_said_of_them(trees: dict[str, Any]) -> None:
    tree = made(trees["subtypes"])
    section = replication_section(Artefacts(replication=tree, subtypes=trees["subtypes"]))
    assert section is not None
    assert "made without them" in section.lead
    assert warnings_of(tree, trees["subtypes"]) == []
    assert verdict(tree, trees["subtypes"]).replace(SPACE, " ").endswith("in 120 patients, 4 replicate.")


def test_the_command_line_says_the_same(trees: dict[str, Any]) -> None:
    tree = made(trees["subtypes"], 120)
    figures = summary_subtypes.replication(tree)
    assert [f"{said}." for said in figures["warnings"]] == warnings_of(tree)
    assert [row["replicates"] for row in figures["replication"]] == [-1] * 4
    assert all(said.endswith("120 of 120 patients are in the reference too") for said in figures["verdicts"])
    assert "warnings" not in summary_subtypes.replication(made(trees["subtypes"]))


def test_a_replication_of_another_number_of_subtypes_is_of_another_reference(trees: dict[str, Any]) -> None:
    tree, subtypes = made(trees["subtypes"], drop="S4"), trees["subtypes"]
    said = f"{OTHER}: it looked for 3 (S1, S2 and S3), here there are 4 (S1, S2, S3 and S4)."
    assert warnings_of(tree, subtypes) == [said]
    assert verdict(tree, subtypes) == said
    composed = page.compose("", Artefacts(subtypes=subtypes, replication=tree), {})
    assert ("Replication in another cohort", said) in composed.warnings


def test_shares_tell_another_reference_of_the_same_names(trees: dict[str, Any]) -> None:
    subtypes = trees["subtypes"].copy()
    label = subtypes["subtypes"].to_dataset()["label"].copy(deep=True)
    label[0] = "S1" if label[0] != "S1" else "S2"
    subtypes["subtypes"] = xr.DataTree(subtypes["subtypes"].to_dataset().assign(label=label))
    (said,) = warnings_of(made(trees["subtypes"]), subtypes)
    assert said.startswith(f"{OTHER}: names that are the same need not be the same subtypes")


@pytest.mark.parametrize(("digest", "other"), [("abc", False), ("abd", True)])
def test_hashes_tell_the_reference_where_they_are_known(trees: dict[str, Any], digest: str, other: bool) -> None:
    inputs = [{"path": "new.zarr", "sha256": "0"}, {"path": "subtypes.zarr", "sha256": "abc"}]
    manifests = {"subtypes": {"digest": digest}, "replication": {"inputs": inputs}}
    said = warnings_of(made(trees["subtypes"]), trees["subtypes"], manifests)
    assert [one.startswith(OTHER) for one in said] == [True] * other
    assert verdict(made(trees["subtypes"]), trees["subtypes"], manifests).startswith(OTHER) == other


def test_the_rand_index_is_said_to_be_over_the_assigned(trees: dict[str, Any]) -> None:
    section = replication_section(Artefacts(replication=made(trees["subtypes"])))
    assert section is not None
    said = " ".join(part.text for part in section.parts if hasattr(part, "text")).replace(SPACE, " ")
    assert "(adjusted Rand index, 100 assigned patients)" in said
