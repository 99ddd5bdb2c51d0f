"""``omics subtypes`` from the command line: what it says of the clusters, and of the same ones in another cohort."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omics import cohort
from omics.artefact import Provenance, digest, read_manifest
from omics.subtypes import ALGORITHMS, Subtypes
from pipelines import clusters, config

#: Stands for the prepared cohort in lists of arguments.
PREPARED = "PREPARED"
QUICK = ("--n-subtypes", 3, "--resamples", 3, "--null-sets", 39)


def info(omics, path: Path) -> dict:
    result = omics("info", path, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_choices_are_the_algorithms():
    assert set(config.ALGORITHMS) == set(ALGORITHMS)


def test_a_run_says_what_the_subtypes_are(omics, finished):
    figures = info(omics, finished / "subtypes.zarr")
    tree = cohort.open(finished / "subtypes.zarr", noun="subtypes")
    assert {"markers", "panels", "enrichment", "verdicts", "solutions", "solution_tests"} <= set(tree.children)
    assert len(figures["verdicts"]) == figures["n_subtypes"] == 3
    assert all(name in sentence for name, sentence in zip(("S1", "S2", "S3"), figures["verdicts"], strict=True))
    assert {row["layer"] for row in figures["panels"]} == {"expression", "methylation", "mutation", "all"}
    inputs = {entry["path"] for entry in read_manifest(finished / "subtypes.zarr")["inputs"]}
    assert inputs == {"factors.zarr", "prepared.zarr"}
    page = (finished / "report.html").read_text(encoding="utf-8")
    for caption in ("What each subtype is", "Marker features", "Do the subtypes say more than what is known?"):
        assert caption in page


def test_factors_are_learnt_again_from_fewer_features(omics, finished, tmp_path):
    tree = cohort.open(finished / "subtypes.zarr", noun="subtypes")
    jaccard = cohort.node(tree, "subtype_model")["jaccard_features"]
    assert jaccard.shape == (3,)
    assert jaccard.max() > 0.5  # other features of the same patients tell the same groups
    assert jaccard.max() <= 1
    assert jaccard.min() > 0
    without = omics("subtypes", finished / "factors.zarr", tmp_path / "s.zarr", *QUICK)
    assert without.exit_code == 0, without.stderr
    assert "jaccard_features" not in cohort.open(tmp_path / "s.zarr", noun="subtypes")["subtype_model"]


def test_markers_carry_their_genes(finished):
    table = cohort.to_table(cohort.node(cohort.open(finished / "subtypes.zarr", noun="subtypes"), "markers"))
    view = cohort.node(cohort.open(finished / "prepared.zarr", noun="prepared"), "views/methylation")
    here = table[table["layer"] == "methylation"]
    assert len(here)
    assert (here["gene"].fillna("") == view["gene"].to_series().reindex(here["feature"]).to_numpy()).all()


def test_other_algorithms_stand_beside_it_and_count_in_the_correction(omics, finished, tmp_path):
    made = omics("subtypes", finished / "factors.zarr", tmp_path / "s.zarr", *QUICK, "--also", "kmeans,hierarchical")
    assert made.exit_code == 0, made.stderr
    figures = info(omics, tmp_path / "s.zarr")
    assert [row["solution"] for row in figures["solutions"]] == ["mixture", "kmeans", "hierarchical"]
    assert [row["chosen"] for row in figures["solutions"]] == [1, 0, 0]
    relapse = [row for row in figures["solution_tests"] if row["endpoint"] == "relapse"]
    assert figures["relapse_p_value"] == relapse[0]["p_adjusted"]
    smallest = min(row["p_value"] for row in relapse)
    assert min(row["p_adjusted"] for row in relapse) == pytest.approx(min(1, 3 * smallest))


def test_layers_are_fused(omics, finished, tmp_path):
    arguments = (finished / "factors.zarr", tmp_path / "s.zarr", *QUICK, "--algorithm", "nemo")
    made = omics("subtypes", *arguments, "--prepared", finished / "prepared.zarr")
    assert made.exit_code == 0, made.stderr
    assert info(omics, tmp_path / "s.zarr")["algorithm"] == "nemo"


def test_factors_that_follow_a_column_are_left_out(omics, finished, tmp_path):
    """A column made of the first factor."""
    factors, planted = finished / "factors.zarr", tmp_path / "factors.zarr"
    tree = cohort.open(factors, noun="factors")
    scores = cohort.node(tree, "factors")["score"].to_pandas()
    clinical = cohort.node(tree, "clinical")
    high = (scores["Factor1"] > scores["Factor1"].median()).reindex(clinical.indexes["sample"])
    changed = clinical.assign(batch=("sample", np.array([f"plate{int(one)}" for one in high], dtype=object)))
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    cohort.save(type(tree).from_dict({**nodes, "/clinical": changed}), planted, Provenance("factors"))
    made = omics("subtypes", planted, tmp_path / "s.zarr", *QUICK, "--exclude", "batch")
    assert made.exit_code == 0, made.stderr
    followed = {row["factor"]: row["excluded"] for row in info(omics, tmp_path / "s.zarr")["followed"]}
    assert followed["Factor1"] == 1
    model = cohort.node(cohort.open(tmp_path / "s.zarr", noun="subtypes"), "subtype_model")
    assert "Factor1" not in model.indexes["factor"]


def test_a_cohort_replicates_itself(omics, finished, tmp_path):
    """The same patients, projected: nearly all are assigned as before, and the moves say so."""
    made = omics("subtypes", "--reference", finished / "subtypes.zarr", finished / "prepared.zarr", tmp_path / "r.zarr")
    assert made.exit_code == 0, made.stderr
    figures = info(omics, tmp_path / "r.zarr")
    assert {row["subtype"] for row in figures["replication"]} == {"S1", "S2", "S3"}
    assert figures["warnings"][0].endswith("no replication")
    assert all(row["replicates"] == -1 for row in figures["replication"]), "it cannot be judged"
    stayed = sum(row["n"] for row in figures["moves"] if row["from"] == row["to"])
    assert stayed > 0.8 * figures["replication_overall"][0]["n"]
    assert len(figures["verdicts"]) == 3


def test_a_replication_adjusts_as_the_reference_did_or_as_it_is_told(omics, finished, tmp_path):
    reference = tmp_path / "s.zarr"
    made = omics("subtypes", finished / "factors.zarr", reference, *QUICK, "--covariates", "age,wbc")
    assert made.exit_code == 0, made.stderr

    def beside(*more: object) -> set[str]:
        call = ("subtypes", "--reference", reference, finished / "prepared.zarr", tmp_path / "r.zarr", "--overwrite")
        made = omics(*call, "--factors", finished / "factors.zarr", *more)
        assert made.exit_code == 0, made.stderr
        rows = [row for row in info(omics, tmp_path / "r.zarr")["adjusted_tests"] if row["adjusted"]]
        return {row["covariates"] for row in rows} - {None}  # some have too few events to adjust for anything

    assert "age, log10 wbc" in beside() <= {"age, log10 wbc", "age"}
    assert beside("--covariates", "age") == {"age"}
    wrong = omics(
        "subtypes", "--reference", reference, finished / "prepared.zarr", tmp_path / "w.zarr",
        "--factors", finished / "factors.zarr", "--covariates", "none",
    )  # fmt: skip
    assert wrong.exit_code == 2
    assert "none" in wrong.stderr


def test_genes_of_a_layer_and_clinical_columns_of_the_same_name_are_both_compared(finished):
    tree = cohort.open(finished / "prepared.zarr", noun="prepared")
    genes = clusters.mutations(tree)
    assert len(genes.columns) > 1
    name = genes.columns[0]
    labels = cohort.node(cohort.open(finished / "subtypes.zarr", noun="subtypes"), "subtypes")["label"].to_series()
    clinical = cohort.clinical_table(tree).assign(**{name: genes[name]})
    scores = pd.DataFrame({"F": np.arange(len(labels), dtype=float)}, labels.index)
    tested = set(clusters.meaning(labels, clinical, scores, {}, genes)["enrichment"]["label"])
    assert {name, name.replace(" mutation", " (layer) mutation"), *genes.columns[1:]} <= tested
    view = cohort.node(tree, "views/mutation")
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    twice = clusters.mutations(type(tree).from_dict({**nodes, "/views/panel": view}))
    assert twice.columns.is_unique
    assert name.replace(" mutation", " (panel) mutation") in twice


def test_without_an_active_factor_there_is_no_structure_though_nobody_asked_for_one_group(omics, finished, tmp_path):
    tree = cohort.open(finished / "factors.zarr", noun="factors")
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    nodes["/variance"] = nodes["/variance"].assign(active=nodes["/variance"]["active"] * 0)
    cohort.save(type(tree).from_dict(nodes), tmp_path / "f.zarr", Provenance("factors"))
    made = omics("subtypes", tmp_path / "f.zarr", tmp_path / "s.zarr", "--resamples", 3, "--null-sets", 39)
    assert made.exit_code == 0, made.stderr
    assert info(omics, tmp_path / "s.zarr")["in_words"].startswith("no structure")


def test_names_are_kept_from_an_earlier_run(omics, finished, tmp_path):
    """An earlier run with the names turned round."""
    tree = cohort.open(finished / "subtypes.zarr", noun="subtypes")
    turned = {"S1": "S3", "S2": "S1", "S3": "S2"}
    before = Subtypes.from_tree(tree).renamed(turned)
    nodes = {part.path: part.to_dataset(inherit=False) for part in before.to_tree().subtree}
    cohort.save(type(tree).from_dict(nodes), tmp_path / "before.zarr", Provenance("subtypes"))
    again = omics(
        "subtypes", finished / "factors.zarr", tmp_path / "s.zarr", *QUICK, "--match", tmp_path / "before.zarr"
    )
    assert again.exit_code == 0, again.stderr
    label = Subtypes.from_tree(cohort.open(tmp_path / "s.zarr", noun="subtypes")).labels_
    assert (label == before.labels_).all()


def test_numbers_asked_for_without_structure_carry_a_warning(omics, finished):
    figures = info(omics, finished / "subtypes.zarr")
    warned = any("no more stable" in one for one in figures.get("warnings", []))
    assert warned == (figures["structure_p_value"] > 0.05)
    assert list(figures["sizes"]) == ["S1", "S2", "S3"]


def test_a_cluster_too_small_to_speak_of_carries_a_warning(omics, finished, tmp_path):
    made = omics("subtypes", finished / "factors.zarr", tmp_path / "s.zarr", *QUICK[2:], "--n-subtypes", 11)
    assert made.exit_code == 0, made.stderr
    figures = info(omics, tmp_path / "s.zarr")
    small = [name for name, n in figures["sizes"].items() if n < 5]
    assert small
    assert all(f"{name} (" in figures["warnings"][-1] for name in small)


def test_info_says_in_words_what_was_done(omics, finished, tmp_path):
    made = omics("subtypes", finished / "factors.zarr", tmp_path / "s.zarr", *QUICK, "--exclude", "sex")
    assert made.exit_code == 0, made.stderr
    figures = info(omics, tmp_path / "s.zarr")
    n = cohort.node(cohort.open(tmp_path / "s.zarr", noun="subtypes"), "subtype_model").sizes["factor"]
    assert "of those kept" in figures["excluded_factors"]
    assert figures["in_words"].startswith("3 subtypes, asked for")
    adjusted = {row["endpoint"] for row in figures["adjusted_tests"] if row["adjusted"]}
    assert {one.split(":")[0] for one in figures["beside_what_is_known"]} == adjusted
    lines = omics("info", tmp_path / "s.zarr").stdout.splitlines()
    assert max(map(len, lines[lines.index("  adjusted_tests:") :][:4])) < 300
    kept = int(figures["excluded_factors"].split(" of ")[1].split(":")[0].split(";")[0])
    assert n <= kept - int(figures["excluded_factors"].split(" of ")[0])


def test_layers_of_other_patients_are_refused(omics, finished, tmp_path):
    prepared = cohort.open(finished / "prepared.zarr", noun="prepared")
    some = cohort.select(prepared, cohort.samples(prepared)[:-1])
    cohort.save(some, tmp_path / "p.zarr", Provenance("prepared"))
    result = omics(
        "subtypes", finished / "factors.zarr", tmp_path / "s.zarr", *QUICK, "--prepared", tmp_path / "p.zarr"
    )
    assert result.exit_code == 3
    assert "1 patients of the factors are not in the prepared cohort" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--exclude", "moon"), 2, "no clinical column moon"),
        (("--exclude", "site,event"), 2, "event is part of the outcome"),
        (("--exclude", "site,constant"), 2, "constant has no two values"),
        (("--exclude", "own"), 2, "own has a value of its own for every patient"),
        (("--algorithm", "snf"), 2, "snf fuses layers"),
        (("--also", "nemo"), 2, "--prepared"),
        (("--also", "nemo", "--exclude", "site", "--prepared", PREPARED), 2, "nemo clusters on layers"),
        (("--also", "astrology"), 2, "is not one of"),
        (("--factors", "x.zarr"), 2, "--factors goes with --reference"),
        (("--n-subtypes", 60), 3, "are too few for 60 subtypes"),
        (("--exclude", ""), 2, "has an empty name"),
        (("--covariates", "age,event_time"), 2, "'event_time' is part of the outcome"),
    ],
)
def test_wrong_settings_are_refused(omics, finished, tmp_path, arguments, code, words):
    tree = cohort.open(finished / "factors.zarr", noun="factors")
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    samples = nodes["/clinical"].indexes["sample"].to_numpy(dtype=object)
    more = {"own": ("sample", samples), "constant": ("sample", np.full(len(samples), "one", dtype=object))}
    cohort.save(
        type(tree).from_dict({**nodes, "/clinical": nodes["/clinical"].assign(more)}),
        tmp_path / "f.zarr",
        Provenance("factors"),
    )
    there = [finished / "prepared.zarr" if one is PREPARED else one for one in arguments]
    result = omics("subtypes", tmp_path / "f.zarr", tmp_path / "s.zarr", *there)
    assert result.exit_code == code
    assert words in result.stderr
    assert not (tmp_path / "s.zarr").exists()


def test_a_reference_is_only_used_with_its_own_factors(omics, finished, tmp_path):
    reference, new = tmp_path / "subtypes.zarr", finished / "prepared.zarr"
    shutil.copytree(finished / "subtypes.zarr", reference)
    lost = omics("subtypes", "--reference", reference, new, tmp_path / "r.zarr")
    assert lost.exit_code == 2
    assert "give it with --factors" in lost.stderr
    given = omics(
        "subtypes", "--reference", reference, new, tmp_path / "r.zarr", "--factors", finished / "factors.zarr"
    )
    assert given.exit_code == 0, given.stderr
    other = omics("factors", new, tmp_path / "other.zarr", "--n-factors", 3, "--restarts", 1)
    assert other.exit_code == 0, other.stderr
    wrong = omics("subtypes", "--reference", reference, new, tmp_path / "w.zarr", "--factors", tmp_path / "other.zarr")
    assert wrong.exit_code == 3
    assert "not made from this factor model" in wrong.stderr
    unused = omics("subtypes", "--reference", reference, new, tmp_path / "u.zarr", "--n-subtypes", 3)
    assert unused.exit_code == 2
    assert "--n-subtypes has no meaning with --reference" in unused.stderr


def test_a_replication_does_not_replace_the_model_it_reads(omics, finished, tmp_path):
    for name in ("subtypes.zarr", "factors.zarr"):
        shutil.copytree(finished / name, tmp_path / name)
    before, new = digest(tmp_path / "factors.zarr"), finished / "prepared.zarr"
    reference = ("--reference", tmp_path / "subtypes.zarr", new)
    made = omics("subtypes", *reference, tmp_path / "factors.zarr", "--overwrite")
    assert made.exit_code == 2
    assert "also an input" in made.stderr
    assert digest(tmp_path / "factors.zarr") == before


def test_relapse_samples_are_compared_only_by_what_comes_after(omics, finished, tmp_path):
    """Who was sampled at relapse has relapsed: how soon is no consequence of what was measured then."""
    tree = cohort.open(finished / "prepared.zarr", noun="prepared")
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    nodes["/clinical"] = nodes["/clinical"].assign_attrs(timepoint="relapse")
    cohort.save(type(tree).from_dict(nodes), tmp_path / "p.zarr", Provenance("prepared"))
    made = omics("subtypes", "--reference", finished / "subtypes.zarr", tmp_path / "p.zarr", tmp_path / "r.zarr")
    assert made.exit_code == 0, made.stderr
    assert {row["endpoint"] for row in info(omics, tmp_path / "r.zarr")["tests"]} == {"after_relapse"}


def test_relapse_groups_that_cannot_be_sought_are_refused_before_clustering(omics, finished, tmp_path, monkeypatch):
    tree = cohort.open(finished / "factors.zarr", noun="factors")
    clinical = cohort.node(tree, "clinical").compute()
    event = clinical["event"].to_numpy().copy()
    relapsed = np.flatnonzero(event == 1)
    event[relapsed[6:]] = 0
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    nodes["/clinical"] = clinical.assign(event=("sample", event))
    cohort.save(type(tree).from_dict(nodes), tmp_path / "factors.zarr", Provenance("factors"))
    monkeypatch.setattr(Subtypes, "fit", None)  # it does not come to that
    made = omics("subtypes", tmp_path / "factors.zarr", tmp_path / "s.zarr", "--relapse-groups")
    assert made.exit_code == 3
    assert "leave the relapse groups out" in made.stderr
