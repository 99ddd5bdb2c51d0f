"""Mutations of a cohort: counts against counting, tests against scipy and enumeration; what all functions refuse."""

from __future__ import annotations

import csv
import gzip
import itertools
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from omics.interpret.mutation_calls import SILENT, carriers, checked, ids
from omics.interpret.mutation_evolution import evolution, unpaired
from omics.interpret.mutation_pairs import pairs_of_genes
from omics.interpret.mutation_tests import log_odds, mcnemar
from omics.interpret.mutations import MULTI_HIT, burden, enriched, math_score, oncoprint, with_event
from omics.read.maf import NON_SYNONYMOUS
from omics.schema import DataError, UsageError
from omics.stats import q_values
from tests.mutated import MAF, calls_of, drawn

# --- exact tests --------------------------------------------------------------------------------------------------


def test_mcnemar_is_that_of_every_way_to_change_and_of_scipy():
    for gained, lost in ((0, 0), (1, 0), (3, 1), (2, 2), (0, 6), (7, 3)):
        n = gained + lost
        ways = [sum(way) for way in itertools.product((0, 1), repeat=n)]
        brute = np.mean([min(k, n - k) <= min(gained, lost) for k in ways])
        ours = mcnemar(np.array([gained]), np.array([lost]))[0]
        assert ours == pytest.approx(brute, rel=1e-12)
        assert ours == pytest.approx(stats.binomtest(gained, n).pvalue if n else 1.0, rel=1e-12)


def test_log_odds_of_an_empty_cell():
    np.testing.assert_allclose(log_odds(*np.array([[3], [0], [2], [4]])), np.log(3.5 * 4.5 / (0.5 * 2.5)))


# --- calls --------------------------------------------------------------------------------------------------------


def test_what_is_silent_is_what_ingest_leaves_out():
    gdc = {
        *NON_SYNONYMOUS,
        "Silent",
        "Intron",
        "RNA",
        "IGR",
        "Splice_Region",
        "Targeted_Region",
        "De_novo_Start_InFrame",
    }
    gdc |= {"3'UTR", "5'UTR", "3'Flank", "5'Flank", "lincRNA", "De_novo_Start_OutOfFrame"}
    assert {name for name in gdc if name.lower() not in SILENT} == NON_SYNONYMOUS


def test_a_call_that_repeats_counts_once_and_alters_if_any_repeat_says_so():
    rows = [
        ("s1", "A", "Silent", "chr1", 5, "C", "T"),
        ("s1", "A", "Missense_Mutation", "1", 5.0, "C", "T"),
        ("s1", "A", "Missense_Mutation", "1", 5, "C", "G"),
        ("s1", "A", "ITD", "1", np.nan, "-", "TT"),
        ("s1", "A", "ITD", "1", np.nan, "-", "TT"),
        ("s2", "Unknown", "Missense_Mutation", "1", 5, "C", "T"),
    ]
    calls = pd.DataFrame(
        rows, columns=["sample", "gene", "classification", "chromosome", "start", "reference", "alternative"]
    )
    table = checked(calls, None)
    assert table["variant"].tolist() == ["", "", "1:5:C:G", "1:5:C:T", "1:5:C:T"]
    assert table["altering"].tolist() == [True, True, True, True, False]
    assert table["classification"].tolist()[3] == "Missense_Mutation"
    protein = checked(calls.assign(HGVSp=["", None, "", " p.V1_V2dup", "p.W3_W4dup", "p.R1*"]), None)
    assert protein["variant"].tolist() == ["1:5:C:G", "1:5:C:T", "p.V1_V2dup", "p.W3_W4dup", "1:5:C:T"]
    only = checked(calls[["sample", "gene", "classification"]].assign(HGVSp=["p.A1T"] * 3 + [None] * 3), None)
    assert only["variant"].tolist() == ["", "", "p.A1T", ""]
    np.testing.assert_array_equal(carriers(table, ids(["s2", "s1"])), [[True], [False]])


# --- oncoprint, burden, clones ------------------------------------------------------------------------------------


def test_a_small_oncoprint_is_as_drawn_by_hand():
    calls = calls_of(("s1", "A"), ("s2", "A"), ("s2", "B"), ("s3", "B"), ("s3", "B"), ("s4", "A"), ("s4", "C"))
    calls.loc[6, "classification"] = "Silent"
    labels = pd.Series({"s1": "S10", "s2": "S10", "s3": "S2", "s0": "S2", "elsewhere": "S1", "s4": None})
    found = oncoprint(calls, ["s4", "s3", "s2", "s1", "s0"], labels)
    assert found.matrix.columns.tolist() == ["s3", "s0", "s2", "s1", "s4"]
    one = "Missense_Mutation"
    assert found.matrix.loc["A"].tolist() == ["", "", one, one, one]
    assert found.matrix.loc["B"].tolist() == [MULTI_HIT, "", one, "", ""]
    assert found.genes.to_numpy().tolist() == [["A", 3, 5, 0.6, 3], ["B", 2, 5, 0.4, 3]]
    assert found.samples["subtype"].tolist() == ["S2", "S2", "S10", "S10", ""]
    assert found.samples["n_calls"].tolist() == [2, 0, 2, 1, 1]
    assert found.cells.iloc[3].tolist() == ["B", "s3", "S2", MULTI_HIT, 2]
    assert oncoprint(calls, [f"s{i}" for i in range(5)], top=1).matrix.index.tolist() == ["A"]


def test_an_oncoprint_is_what_counting_gives_whatever_the_order():
    calls, samples = drawn(1)
    labels = pd.Series(np.arange(len(samples)) % 3, samples).map({0: "S1", 1: "S2", 2: "S10"})
    found = oncoprint(calls, samples, labels, top=5)
    carried: defaultdict[str, set] = defaultdict(set)
    hits: defaultdict[tuple[str, str], dict] = defaultdict(dict)
    for row in calls.sort_values("classification").itertuples():  # Silent is the last but for none that alters
        if row.classification not in ("Silent", "Intron"):
            carried[row.gene].add(row.sample)
            hits[row.gene, row.sample].setdefault(row.start, row.classification)
    order = sorted(carried, key=lambda gene: (-len(carried[gene]), gene))[:5]
    assert found.genes["gene"].tolist() == order
    assert found.genes["n_mutated"].tolist() == [len(carried[gene]) for gene in order]
    for gene, sample in itertools.product(order, samples):
        shown = list(hits[gene, sample].values()) if sample in carried[gene] else [""]
        assert found.matrix.loc[gene, sample] == (shown[0] if len(shown) == 1 else MULTI_HIT)
    score = {s: sum(2.0 ** (5 - j) * (s in carried[gene]) for j, gene in enumerate(order)) for s in samples}
    drawing = sorted(samples, key=lambda s: (int(labels[s][1:]), -score[s], s))
    assert found.matrix.columns.tolist() == drawing == found.samples["sample"].tolist()
    again = oncoprint(calls.sample(frac=1, random_state=2), samples[::-1], labels[::-1], top=5)
    for one, other in zip(found, again, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_burden_counts_every_sequenced_sample():
    calls, samples = drawn(2)
    table = burden(calls, samples, megabases=40).set_index("sample")
    for sample in samples:
        rows = calls[calls["sample"] == sample]
        altering = rows[~rows["classification"].isin(["Silent", "Intron"])]
        assert table.loc[sample, "n"] == len(rows[["gene", "start"]].drop_duplicates())
        assert table.loc[sample, "n_non_silent"] == len(altering[["gene", "start"]].drop_duplicates())
    assert (table.loc[samples[-5:], "n"] == 0).all()
    np.testing.assert_allclose(table["per_megabase"] * 40, table["n"])
    np.testing.assert_allclose(table["non_silent_per_megabase"] * 40, table["n_non_silent"])
    again = burden(calls.iloc[::-1], samples[::-1])
    pd.testing.assert_frame_equal(again[["sample", "n", "n_non_silent"]], table.reset_index()[again.columns[:3]])
    assert again[["per_megabase", "non_silent_per_megabase"]].isna().all(axis=None)


def test_math_is_the_scaled_deviation_by_the_median():
    rng = np.random.default_rng(3)
    sizes = [3, 5, 12, 40]
    calls = calls_of(*((f"s{i}", f"g{j}") for i, size in enumerate(sizes) for j in range(size)))
    calls = calls.assign(t_alt_count=rng.integers(1, 50, len(calls)), t_ref_count=rng.integers(1, 50, len(calls)))
    fraction = calls["t_alt_count"] / (calls["t_alt_count"] + calls["t_ref_count"])
    table = math_score(calls, ["s0", "s1", "s2", "s3", "s4"]).set_index("sample")
    assert table["n"].tolist() == [*sizes, 0]
    assert np.isnan(table.loc[["s0", "s4"], "math"]).all()
    for sample in ("s1", "s2", "s3"):
        mine = fraction[calls["sample"] == sample]
        assert table.loc[sample, "median_vaf"] == pytest.approx(np.median(mine))
        theirs = 100 * stats.median_abs_deviation(mine, scale=1 / 1.4826) / np.median(mine)
        assert table.loc[sample, "math"] == pytest.approx(theirs, rel=1e-12)
    purity = math_score(calls.assign(vaf=fraction / 3))  # the same clones among more normal cells
    np.testing.assert_allclose(purity["math"].iloc[1:], table["math"].iloc[1:4], rtol=1e-9)
    unseen = pd.concat(
        [calls.assign(vaf=fraction), calls.assign(gene="X", vaf=0.0), calls.assign(gene="Y", vaf=np.nan)]
    )
    pd.testing.assert_frame_equal(math_score(unseen), table.iloc[:4].reset_index())
    assert math_score(calls, min_variants=1)["math"].notna().all()
    assert math_score(calls.assign(vaf=fraction), min_vaf=0.3)["n"].sum() == (fraction > 0.3).sum()


# --- subtypes and events ------------------------------------------------------------------------------------------


def test_every_row_of_subtypes_is_what_counting_and_scipy_give():
    calls, samples = drawn(4)
    labels = pd.Series(["S10", "S2", "S1", None] * 10, samples)
    labels["elsewhere"] = "S1"
    table = enriched(calls, samples, labels)
    assert table["subtype"].unique().tolist() == ["S1", "S2", "S10"]
    altering = calls[~calls["classification"].isin(["Silent", "Intron"])]
    known = labels.dropna().drop("elsewhere")
    mutated = {gene: known.index.isin(rows["sample"]) for gene, rows in altering.groupby("gene")}
    assert set(table["gene"]) == {gene for gene, has in mutated.items() if has.sum() >= 3}
    for row in table.itertuples():
        inside, has = (known == row.subtype).to_numpy(), mutated[row.gene]
        counts = [[(one & other).sum() for other in (has, ~has)] for one in (inside, ~inside)]
        assert (row.n_inside, row.n_cluster, row.n_mutated, row.n) == (counts[0][0], inside.sum(), has.sum(), 30)
        assert (row.share_inside, row.share_outside) == pytest.approx((has[inside].mean(), has[~inside].mean()))
        theirs = stats.fisher_exact(counts)
        assert (row.effect, row.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)
    np.testing.assert_array_equal(table["q_value"], q_values(table["p_value"].to_numpy()))
    again = enriched(calls.sample(frac=1, random_state=0), samples[::-1], labels[::-1])
    pd.testing.assert_frame_equal(again, table)


def test_an_event_is_tested_as_one_of_two_classes():
    calls, samples = drawn(5)
    event = pd.Series(np.arange(40) % 3 == 0, samples).astype(object)
    event.iloc[:4] = None
    table = with_event(calls, samples, event)
    both = enriched(calls, samples, event.dropna().map({True: "yes", False: "no"}))
    mine = both[both["subtype"] == "yes"].reset_index(drop=True).drop(columns=["subtype", "q_value"])
    pd.testing.assert_frame_equal(table.drop(columns="q_value"), mine)
    np.testing.assert_array_equal(table["q_value"], q_values(table["p_value"].to_numpy()))
    assert (table["n"] == 36).all()
    pd.testing.assert_frame_equal(with_event(calls, samples, event.dropna().astype(float)), table)


# --- what is refused, and what is empty ---------------------------------------------------------------------------

ONE = calls_of(("s1", "A"), ("s2", "A"))
PAIR = pd.DataFrame({"patient": ["P"], "diagnosis_sample": ["s1"], "relapse_sample": ["s2"]})
TWICE = pd.concat([PAIR, PAIR.assign(relapse_sample="s3")])
LABELS = pd.Series({"s1": "S1", "s2": "S2"})


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (lambda: burden(ONE, ["s1"]), DataError, "1 samples were not sequenced: s2"),
        (lambda: oncoprint(ONE, ["s1"]), DataError, "not sequenced: s2"),
        (lambda: pairs_of_genes(ONE, ["s1"]), DataError, "not sequenced: s2"),
        (lambda: math_score(ONE.assign(vaf=0.5), ["s1"]), DataError, "not sequenced: s2"),
        (lambda: burden(ONE, ["s1", "s2", "s1"]), DataError, "duplicate sample: s1"),
        (lambda: burden(ONE, []), DataError, "no sequenced sample"),
        (lambda: burden(ONE.drop(columns="gene"), ["s1", "s2"]), DataError, "column gene is missing"),
        (lambda: burden(ONE.assign(classification=None), ["s1", "s2"]), DataError, "no classification"),
        (lambda: burden(ONE.assign(sample=" "), ["s1", "s2"]), DataError, "no sample"),
        (lambda: burden(ONE, ["s1", "s2"], megabases=0), UsageError, "megabases is 0"),
        (lambda: math_score(ONE.assign(vaf=[0.5, 38.1])), DataError, r"1 VAFs are outside of 0 to 1: 38\.1"),
        (lambda: math_score(ONE.assign(vaf=[-0.1, 0.1])), DataError, "outside of 0 to 1"),
        (lambda: math_score(ONE.assign(t_alt_count=-1, t_ref_count=5)), DataError, "count of reads is negative"),
        (lambda: math_score(ONE), UsageError, "no allele fractions"),
        (lambda: math_score(ONE.assign(vaf=0.5), min_variants=0), UsageError, "min_variants is 0"),
        (lambda: oncoprint(ONE, ["s1", "s2"], top=0), UsageError, "top is 0"),
        (lambda: enriched(ONE, ["s1", "s2"], pd.Series({"s9": "S1"})), DataError, "no sequenced sample has a label"),
        (lambda: enriched(ONE, ["s1", "s2"], pd.concat([LABELS, LABELS])), DataError, "duplicate sample: s1"),
        (lambda: enriched(ONE, ["s1", "s2"], LABELS, 0), UsageError, "min_mutated is 0"),
        (lambda: with_event(ONE, ["s1", "s2"], pd.Series({"s1": 2, "s2": 1})), DataError, "event 2 is neither"),
        (lambda: pairs_of_genes(ONE, ["s1", "s2"], ["A", "B"]), UsageError, "no call is of B"),
        (lambda: pairs_of_genes(ONE, ["s1", "s2"], ["A", "A"]), UsageError, "A is named twice"),
        (lambda: pairs_of_genes(ONE, ["s1", "s2"], permutations=0), UsageError, "permutations is 0"),
        (lambda: evolution(ONE, ONE, TWICE), DataError, "duplicate patient: P"),
        (lambda: evolution(ONE, ONE, TWICE.assign(patient=["P", "Q"])), DataError, "duplicate sample: s1"),
        (lambda: evolution(ONE, ONE, PAIR.assign(relapse_sample="s1")), DataError, "duplicate sample: s1"),
        (lambda: evolution(ONE, ONE, PAIR.assign(relapse_sample=None)), DataError, "a pair has a gap"),
        (lambda: evolution(ONE, ONE, PAIR.drop(columns="patient")), DataError, "column patient is missing"),
        (lambda: evolution(ONE, ONE, PAIR, ["s1", "s3"]), DataError, "not sequenced: s2"),
        (lambda: evolution(ONE, ONE, PAIR.assign(relapse_sample="s3"), ["s1", "s3"]), DataError, "not sequenced: s2"),
        (
            lambda: evolution(ONE, ONE, PAIR.assign(relapse_sample="s3")),
            DataError,
            "no call is of a sample of the pairs",
        ),
        (lambda: evolution(ONE, ONE, PAIR, min_changed=0), UsageError, "min_changed is 0"),
        (lambda: unpaired(ONE, 1, ONE, 5), DataError, "2 samples have a call, 1 were sequenced"),
        (lambda: unpaired(ONE, 5, ONE, 5), DataError, "s1 is in both cohorts"),
        (lambda: unpaired(ONE, ["s1"], ONE.iloc[:0], 5), DataError, "not sequenced: s2"),
        (lambda: unpaired(ONE, 5, ONE.iloc[:0], 5, 0), UsageError, "min_mutated is 0"),
    ],
)
def test_what_is_refused(run, error, message):
    with pytest.raises(error, match=message):
        run()


def test_without_calls_the_tables_are_empty_and_typed():
    none, samples = ONE.iloc[:0].assign(vaf=0.5, start=1), ["s1", "s2"]
    found = oncoprint(none, samples, LABELS)
    assert found.matrix.shape == (0, 2)
    assert found.samples["sample"].tolist() == samples
    assert burden(none, samples)["n"].tolist() == [0, 0]
    assert math_score(none, samples)["math"].isna().all()
    full = evolution(ONE.assign(start=1), ONE.assign(start=1), PAIR)
    empty = evolution(none, none, PAIR)
    tables = {
        "cells": (found.cells, oncoprint(ONE, samples).cells),
        "enriched": (enriched(none, samples, LABELS), enriched(ONE, samples, LABELS, 1)),
        "alone": (enriched(ONE, samples, LABELS.replace("S2", "S1"), 1), enriched(ONE, samples, LABELS, 1)),
        "event": (with_event(none, samples, LABELS == "S1"), with_event(ONE, samples, LABELS == "S1", 1)),
        "pairs": (
            pairs_of_genes(none, samples, permutations=5),
            pairs_of_genes(pd.concat([ONE, ONE.assign(gene="B")]), samples, ["A", "B"], permutations=5),
        ),
        "genes": (empty.genes, full.genes),
        "patients": (empty.patients, full.patients),
        "variants": (empty.variants, full.variants),
        "unpaired": (unpaired(none, 5, none, 5), unpaired(ONE, 5, none, 5, 1)),
    }
    for name, (table, other) in tables.items():
        assert table.empty, name
        assert not other.empty, name
        pd.testing.assert_series_equal(table.dtypes, other.dtypes, obj=name)
    lone = pairs_of_genes(calls_of(("s1", "A"), ("s1", "B")), ["s1"], ["A", "B"], permutations=5)
    assert lone["p_value"].tolist() == [1.0]


# --- real patients ------------------------------------------------------------------------------------------------

ALTERING = {*NON_SYNONYMOUS, "ITD"}


@pytest.mark.shared
def test_frequencies_and_burden_of_adults_are_those_of_the_file(shared_data):
    path = shared_data / "laml" / "mutations.maf.gz"
    per_gene, per_sample, silent = defaultdict(set), Counter(), Counter()
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            sample = row["Tumor_Sample_Barcode"]
            altering = row["Variant_Classification"] in ALTERING
            per_sample[sample] += altering
            silent[sample] += not altering
            if altering:
                per_gene[row["Hugo_Symbol"]].add(sample)
    clinical = pd.read_csv(shared_data / "laml" / "clinical.tsv", sep="\t", index_col=0)
    calls = pd.read_csv(path, sep="\t").rename(columns=MAF)
    found = oncoprint(calls, clinical.index, clinical["fab"])
    order = sorted(per_gene, key=lambda gene: (-len(per_gene[gene]), gene))[:30]
    assert found.genes["gene"].tolist() == order
    assert found.genes["n_mutated"].tolist() == [len(per_gene[gene]) for gene in order]
    assert (found.genes["n"] == 200).all()
    for gene in order:
        carrying = found.matrix.columns[found.matrix.loc[gene] != ""]
        assert set(carrying) == per_gene[gene]
    table = burden(calls, clinical.index).set_index("sample")
    assert table["n_non_silent"].to_dict() == {sample: per_sample[sample] for sample in clinical.index}
    assert table["n"].to_dict() == {sample: per_sample[sample] + silent[sample] for sample in clinical.index}
    with pytest.raises(DataError, match="divide percents by 100"):
        math_score(calls.assign(vaf=calls["i_TumorVAF_WU"]))
    score = math_score(calls.assign(vaf=calls["i_TumorVAF_WU"] / 100))
    assert score["math"].median() == pytest.approx(15, abs=5)
