"""``omics interpret`` from the command line: every table is there, on one small cohort, and faults are told first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact, mannwhitneyu

from omics import cohort
from omics.artefact import read_manifest
from omics.interpret import FORMS
from omics.interpret import table as shipped
from omics.schema import UsageError
from pipelines.config import Interpret
from pipelines.interpretation import Given, groups_of
from pipelines.interpretation import interpreted as interpreted_
from pipelines.own_files import check_adjustment

ALWAYS = {
    "factor_features", "associations", "subtype_features", "concordance", "oncoprint", "oncoprint_genes",
    "oncoprint_samples", "burden", "mutation_subtypes", "lesions", "resistance_patients", "resistance_subtypes",
    "targets_patients", "targets_subtypes", "antigens_patients", "antigens_subtypes", "pharmacogenes",
}  # fmt: skip


def table(path: Path, name: str) -> pd.DataFrame:
    return cohort.to_table(cohort.node(cohort.open(path, noun="interpretation"), name))


@pytest.fixture(scope="module")
def sets(finished, tmp_path_factory) -> Path:
    """Sets of the leading genes of the first factor, and of genes as they come."""
    weights = cohort.node(cohort.open(finished / "factors.zarr"), "views/expression")["weight"]
    first = weights.sel(factor="Factor1").to_series().abs().sort_values(ascending=False).index
    file = tmp_path_factory.mktemp("sets") / "sets.gmt"
    lines = [("LEADING", first[:15]), ("OTHERS", sorted(first[-60:])[:15])]
    file.write_text("".join(f"{name}\tx\t{chr(9).join(genes)}\n" for name, genes in lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def interpreted(omics, finished, sets, raw, tmp_path_factory) -> Path:
    """With gene sets, and the calls at relapse."""
    made = tmp_path_factory.mktemp("interpreted") / "i.zarr"
    result = omics(
        "interpret", finished / "factors.zarr", made, "--prepared", finished / "prepared.zarr",
        "--subtypes", finished / "subtypes.zarr", "--sets", sets, "--mutations", raw / "data" / "mutations.maf.gz",
        "--relapse-mutations", raw / "data" / "mutations.maf.gz", "--megabases", "30",
        "--relapse-sequenced", raw / "data" / "sequenced_samples.txt",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return made


def test_a_run_interprets_its_factors_and_subtypes(omics, finished):
    tree = cohort.open(finished / "interpretation.zarr", noun="interpretation")
    assert set(tree.children) >= ALWAYS
    assert sorted(tree["differential"].children) == ["expression", "methylation"]
    inputs = {entry["path"] for entry in read_manifest(finished / "interpretation.zarr")["inputs"]}
    assert {"factors.zarr", "prepared.zarr", "subtypes.zarr"} < inputs
    figures = json.loads(omics("info", finished / "interpretation.zarr", "--json").stdout)
    assert figures["rows"]["associations"] == len(table(finished / "interpretation.zarr", "associations"))
    assert figures["note"].startswith("for research only")


def test_sets_and_relapse_are_looked_at_where_they_are_given(interpreted):
    tree = cohort.open(interpreted, noun="interpretation")
    assert {"factor_sets", "subtype_sets", "cpg_sets"} <= set(tree.children)
    found = table(interpreted, "factor_sets")
    best = found[(found["factor"] == "Factor1") & (found["direction"] == "two-sided")].set_index("set")
    assert best.loc["LEADING", "p_value"] < best.loc["OTHERS", "p_value"]
    genes = table(interpreted, "evolution_genes")
    patients = table(interpreted, "evolution_patients")
    counts = patients.groupby(["gene", "status"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=["kept", "lost", "gained"], fill_value=0)
    for status in ("kept", "lost", "gained"):
        assert (genes.set_index("gene")[status] == counts[status].reindex(genes["gene"])).all()
    burden = table(interpreted, "burden")
    np.testing.assert_allclose(burden["per_megabase"], burden["n"] / 30)


def test_mutations_of_a_subtype_by_hand(interpreted, finished):
    label = cohort.node(cohort.open(finished / "subtypes.zarr"), "subtypes")["label"].to_series()
    hit = cohort.node(cohort.open(finished / "prepared.zarr"), "views/mutation")["value"].transpose("sample", "feature")
    hit = hit.to_pandas()
    for row in table(interpreted, "mutation_subtypes").head(20).itertuples():
        inside = label.reindex(hit.index) == row.subtype
        both = pd.crosstab(hit[row.gene] > 0, inside).reindex([True, False]).reindex(columns=[True, False]).to_numpy()
        assert row.p_value == pytest.approx(fisher_exact(both).pvalue, rel=1e-6)


def test_associations_of_a_factor_by_hand(finished):
    tree = cohort.open(finished / "factors.zarr")
    scores = cohort.node(tree, "factors")["score"].to_pandas()
    sex = cohort.clinical_table(tree)["sex"].reindex(scores.index)
    found = table(finished / "interpretation.zarr", "associations")
    rows = found[found["variable"] == "sex"].set_index("factor")
    assert len(rows)
    for factor, row in rows.iterrows():
        one = scores.loc[sex == row["level"], factor]
        other = scores.loc[sex.notna() & (sex != row["level"]), factor]
        assert row["p_value"] == pytest.approx(mannwhitneyu(one, other).pvalue, rel=1e-6)
    assert {"time to relapse", "time to overall"} <= set(found["variable"])


def test_without_subtypes_factors_alone_are_interpreted(omics, finished, tmp_path):
    arguments = ("interpret", finished / "factors.zarr", tmp_path / "i.zarr", "--prepared", finished / "prepared.zarr")
    result = omics(*arguments)
    assert result.exit_code == 0, result.stderr
    tree = cohort.open(tmp_path / "i.zarr", noun="interpretation")
    assert "factor_features" in tree.children
    assert not {"subtype_features", "differential", "mutation_subtypes", "burden"} & set(tree.children)


@pytest.mark.parametrize(
    ("option", "text", "code", "words"),
    [
        ("--sets", "A\tx\n", 3, "line 1"),
        ("--tables", "gene\twhat\n", 3, "no knowledge table has this header"),
        ("--germline", "sample\tgene\tvariant\nP1\tTPMT\t*3A\n", 3, "sample_type"),
        ("--germline", "sample\tgene\tvariant\tsample_type\nP1\tTPMT\t*3A\ttumour\n", 3, "germline"),
        ("--mutations", "no maf\n", 3, "this is no MAF"),
    ],
)
def test_faults_of_small_files_are_told(omics, finished, tmp_path, option, text, code, words):
    file = tmp_path / "given.txt"
    file.write_text(text, encoding="utf-8")
    result = omics(
        "interpret",
        finished / "factors.zarr",
        tmp_path / "i.zarr",
        "--prepared",
        finished / "prepared.zarr",
        option,
        file,
    )
    assert result.exit_code == code, result.stderr
    assert words in result.stderr
    assert str(file) in result.stderr
    assert not (tmp_path / "i.zarr").exists()


def test_a_wrong_header_is_told_from_the_nearest_table(omics, finished, tmp_path):
    names = list(FORMS["resistance"].names)
    file = tmp_path / "own.tsv"
    file.write_text("\t".join(["gene" if name == "symbol" else name for name in names]) + "\n", encoding="utf-8")
    result = omics(
        "interpret", finished / "factors.zarr", tmp_path / "i.zarr", "--prepared", finished / "prepared.zarr",
        "--tables", file,
    )  # fmt: skip
    assert result.exit_code == 3
    assert "the table resistance: add symbol; leave out gene" in " ".join(result.stderr.split())
    assert "pharmacogenes" not in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--horizon", "0"), ("--horizon", "0 is not above 0")),
        (("--megabases", "0"), ("--megabases", "0 is not above 0")),
        (("--megabases", "30"), ("--megabases", "give --mutations")),
        (("--adjust", "site"), ("--adjust", "give --subtypes or --groups")),
    ],
)
def test_options_that_do_nothing_are_refused(omics, finished, tmp_path, options, words):
    arguments = ("interpret", finished / "factors.zarr", tmp_path / "i.zarr", "--prepared", finished / "prepared.zarr")
    result = omics(*arguments, *options)
    assert result.exit_code == 2, result.stderr
    assert all(word in " ".join(result.stderr.split()) for word in words), result.stderr
    assert not (tmp_path / "i.zarr").exists()


def test_any_column_may_stand_in_place_of_subtypes(omics, finished, tmp_path):
    """A toxicity, say; here the refractory."""
    arguments = ("interpret", finished / "factors.zarr", tmp_path / "i.zarr", "--prepared", finished / "prepared.zarr")
    result = omics(*arguments, "--groups", "refractory")
    assert result.exit_code == 0, result.stderr
    assert set(table(tmp_path / "i.zarr", "subtype_features")["subtype"]) == {"refractory 0", "refractory 1"}
    prepared = cohort.open(finished / "prepared.zarr")
    view = cohort.node(prepared, "views/expression")
    values = view["value"].transpose("sample", "feature").to_pandas().astype(float)
    refractory = cohort.clinical_table(prepared)["refractory"].reindex(values.index)
    tested = cohort.node(cohort.open(tmp_path / "i.zarr"), "differential/expression")
    here = tested["difference"].sel(subtype="refractory 1").to_series()
    means = values[refractory == 1].mean() - values[refractory == 0].mean()
    np.testing.assert_allclose(here, means.reindex(here.index), rtol=1e-6, atol=1e-9)
    both = omics(*arguments, "--overwrite", "--groups", "sex", "--subtypes", finished / "subtypes.zarr")
    assert both.exit_code == 2
    assert "in place of subtypes" in both.stderr
    many = omics(*arguments, "--overwrite", "--groups", "age")
    assert many.exit_code == 2
    assert "values" in many.stderr


def test_a_column_to_adjust_for_must_exist(omics, finished, tmp_path):
    arguments = ("interpret", finished / "factors.zarr", tmp_path / "i.zarr", "--prepared", finished / "prepared.zarr")
    result = omics(*arguments, "--subtypes", finished / "subtypes.zarr", "--adjust", "moon")
    assert result.exit_code == 2
    assert "no clinical column moon" in result.stderr


def test_a_column_of_one_value_adjusts_nothing():
    clinical = pd.DataFrame({"lab": ["A", "A", np.nan, "B"], "site": ["N", "S", "N", "N"]}, list("abcd"))
    labels = pd.Series(["S1", "S2", "S1"], list("abc"))  # the only patient of another laboratory has no subtype
    with pytest.raises(UsageError, match=r"lab has one value.*nothing would be adjusted"):
        check_adjustment(("lab", "site"), clinical, labels)
    check_adjustment(("site",), clinical, labels)
    check_adjustment(None, clinical, None)


def test_what_the_model_learnt_from_is_called_circular(finished):
    found = table(finished / "interpretation.zarr", "associations")
    assert "mutation" in cohort.open(finished / "factors.zarr")["views"].children
    circular = found.groupby("variable")["circular"].unique().map(list)
    by_name = {name: name == "subtypes found" or name.endswith(" mutation") or name.startswith("has ")
               for name in circular.index}  # fmt: skip
    assert circular.to_dict() == {name: [int(yes)] for name, yes in by_name.items()}
    assert {"subtypes found", "sex", "time to relapse"} <= set(by_name)
    assert any(name.endswith(" mutation") for name in by_name)


def test_a_cohort_without_clinical_table_is_interpreted(finished):
    """Genes, layers and subtypes are still there; fusions and end points are not."""
    model, prepared = (cohort.open(finished / f"{name}.zarr") for name in ("factors", "prepared"))
    label = cohort.node(cohort.open(finished / "subtypes.zarr"), "subtypes")["label"].to_series()
    bare = prepared.drop_nodes("clinical")
    tree = interpreted_(Given(model, bare, label, Interpret(), 0))
    found = cohort.to_table(cohort.node(tree, "associations"))
    assert "subtypes found" in set(found["variable"])
    assert set(found["circular"]) == {1}
    assert not set(found["variable"]) & set(cohort.clinical_table(prepared).columns)
    assert "cox" not in set(found["test"])
    assert "fusion" not in set(cohort.to_table(cohort.node(tree, "lesions"))["lesion"])
    assert "mutation_relapse" not in tree.children
    with pytest.raises(UsageError, match="no clinical column sex") as error:
        groups_of(cohort.clinical_table(bare), "sex")
    assert "no clinical table" in str(error.value.fix)
    assert {"subtype_features", "targets_subtypes"} <= set(tree.children)


def test_users_rows_stand_beside_ours_with_their_origin(omics, finished, tmp_path):
    ours = shipped("resistance")
    mine = ours.iloc[[0]][FORMS["resistance"].names].assign(symbol="TP53", drug="my own drug", alteration="mutation")
    mine.to_csv(tmp_path / "mine.tsv", sep="\t", index=False)
    result = omics(
        "interpret", finished / "factors.zarr", tmp_path / "i.zarr", "--prepared", finished / "prepared.zarr",
        "--tables", tmp_path / "mine.tsv",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    rows = table(tmp_path / "i.zarr", "resistance_patients")
    own = rows[rows["drug"] == "my own drug"]
    assert len(own)
    assert own["origin"].str.contains("mine.tsv").all()
