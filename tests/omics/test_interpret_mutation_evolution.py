"""From diagnosis to relapse: against sets, scipy, what is planted, and promyelocytic leukaemias of both times."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from omics.interpret.mutation_evolution import evolution, unpaired
from omics.stats import q_values
from tests.mutated import MAF, calls_from, drawn


def paired(n: int) -> pd.DataFrame:
    patients = [f"P{i:02d}" for i in range(n)]
    return pd.DataFrame(
        {
            "patient": patients,
            "diagnosis_sample": [f"{p}D" for p in patients],
            "relapse_sample": [f"{p}R" for p in patients],
        }
    )


def course(seed: int, n: int = 25) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    tables = []
    for end in "DR":
        calls, samples = drawn(10 * seed + (end == "R"), n=n + 5)
        place = dict(zip(samples, [f"P{i:02d}{end}" for i in rng.permutation(n + 5)], strict=True))
        tables.append(calls.assign(sample=calls["sample"].map(place)))
    return tables[0], tables[1], paired(n)  # five of each time are in no pair


def carried(calls: pd.DataFrame, sample: str) -> set[tuple[str, int]]:
    """Gene and position of the sample's altering calls."""
    rows = calls[(calls["sample"] == sample) & ~calls["classification"].isin(["Silent", "Intron"])]
    return set(zip(rows["gene"], rows["start"], strict=True))


def test_evolution_is_what_sets_say_whatever_the_order():
    diagnosis, relapse, pairs = course(1)
    found = evolution(diagnosis, relapse, pairs)
    counts: defaultdict[str, Counter] = defaultdict(Counter)
    statuses = {}
    for row in pairs.itertuples():
        first, second = carried(diagnosis, row.diagnosis_sample), carried(relapse, row.relapse_sample)
        before, after, shared = ({gene for gene, _ in places} for places in (first, second, first & second))
        for status, genes in (("kept", before & after), ("lost", before - after), ("gained", after - before)):
            for gene in genes:
                counts[gene][status] += 1
                counts[gene]["replaced"] += status == "kept" and gene not in shared
                statuses[row.patient, gene] = status
    assert found.patients.set_index(["patient", "gene"])["status"].to_dict() == statuses
    table = found.genes.set_index("gene")
    assert set(table.index) == set(counts)
    for gene, row in table.iterrows():
        kept, lost, gained = (counts[gene][status] for status in ("kept", "lost", "gained"))
        assert row[["n", "n_diagnosis", "n_relapse"]].tolist() == [25, kept + lost, kept + gained]
        assert row[["kept", "lost", "gained", "replaced"]].tolist() == [kept, lost, gained, counts[gene]["replaced"]]
        changed = gained + lost
        assert row["p_value"] == pytest.approx(stats.binomtest(gained, changed).pvalue if changed else 1.0)
        assert np.isnan(row["q_value"]) == (changed < 6)
    np.testing.assert_array_equal(
        found.genes["q_value"].dropna(), q_values(found.genes.query("gained + lost > 5")["p_value"])
    )
    shuffled = (table.sample(frac=1, random_state=3) for table in (diagnosis, relapse, pairs))
    for one, other in zip(found, evolution(*shuffled), strict=True):
        pd.testing.assert_frame_equal(one, other)
    together = pd.concat([diagnosis, relapse])
    pd.testing.assert_frame_equal(evolution(together, together, pairs).genes, found.genes)
    backwards = pairs.rename(columns={"diagnosis_sample": "relapse_sample", "relapse_sample": "diagnosis_sample"})
    mirror = evolution(relapse, diagnosis, backwards).genes.set_index("gene").loc[table.index]
    assert (mirror["gained"] == table["lost"]).all()
    np.testing.assert_allclose(mirror["p_value"], table["p_value"])


def test_evolution_of_exact_variants():
    columns = ["sample", "gene", "classification", "start", "HGVSp", "vaf"]
    diagnosis = pd.DataFrame(
        [
            ("P00D", "FLT3", "Missense_Mutation", 835, None, 0.3),
            ("P00D", "KRAS", "Missense_Mutation", 12, None, 0.05),
            ("P01D", "NT5C2", "Silent", 7, None, 0.4),
            ("P01D", "WT1", "Splice_Site", 9, None, 0.4),
            ("P01D", "FLT3", "ITD", None, None, 0.2),
        ],
        columns=columns,
    )
    relapse = pd.DataFrame(
        [
            ("P00R", "FLT3", "ITD", None, "p.Y597_E598ins", 0.4),
            ("P00R", "KRAS", "Missense_Mutation", 12, None, 0.45),
            ("P00R", "KRAS", "Missense_Mutation", 61, None, 0.1),
            ("P01R", "NT5C2", "Missense_Mutation", 7, None, 0.5),
            ("P01R", "WT1", "Missense_Mutation", 9, None, 0.5),
            ("P01R", "FLT3", "ITD", None, "p.Y597_E598ins", 0.1),
            ("P09R", "TP53", "Missense_Mutation", 1, None, 0.1),
        ],
        columns=columns,
    )
    found = evolution(diagnosis, relapse, paired(3), min_changed=1)
    variants = found.variants.set_index(["patient", "gene", "variant"])
    assert variants["status"].to_dict() == {
        ("P00", "FLT3", "835"): "lost",
        ("P00", "FLT3", "p.Y597_E598ins"): "gained",
        ("P00", "KRAS", "12"): "kept",
        ("P00", "KRAS", "61"): "gained",
        ("P01", "NT5C2", "7"): "gained",
        ("P01", "WT1", "9"): "kept",
    }
    assert variants.loc[("P00", "KRAS", "12"), ["vaf_diagnosis", "vaf_relapse"]].tolist() == [0.05, 0.45]
    assert variants.loc[("P01", "WT1", "9")].tolist()[1:3] == ["Splice_Site", "Missense_Mutation"]
    assert variants.loc[("P01", "NT5C2", "7"), "classification_diagnosis"] == ""
    patients = found.patients.set_index(["patient", "gene"])
    assert patients["status"].tolist() == ["kept", "kept", "kept", "gained", "kept"]
    assert patients["n_shared"].fillna(-1).tolist() == [0, 1, -1, 0, 1]
    genes = found.genes.set_index("gene")
    assert genes.loc["FLT3", ["kept", "replaced", "n_diagnosis", "n"]].tolist() == [2, 1, 2, 3]
    plain = evolution(diagnosis.drop(columns=["start", "HGVSp"]), relapse, paired(3), min_changed=1)
    assert plain.variants.empty
    assert plain.patients["n_shared"].isna().all()
    pd.testing.assert_frame_equal(plain.genes.drop(columns="replaced"), found.genes.drop(columns="replaced"))


def test_planted_gains_are_found_and_false_discoveries_stay_at_their_level():
    n, genes = 50, [f"g{j:02d}" for j in range(24)]
    pairs, false, found = paired(n), [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        before = rng.random((n, 24)) < 0.3
        gain = np.where(np.arange(24) < 4, 0.45, 0.3)  # 0.7 x 0.3 gained and 0.3 x 0.7 lost: a gene that means nothing
        loss = np.where(np.arange(24) < 4, 0.1, 0.7)
        after = np.where(before, rng.random((n, 24)) >= loss, rng.random((n, 24)) < gain)
        calls = (calls_from(x, pairs[f"{t}_sample"].tolist()) for x, t in ((before, "diagnosis"), (after, "relapse")))
        table = evolution(*calls, pairs).genes
        called = set(table.loc[table["q_value"] <= 0.1, "gene"])
        false.append(len(called - set(genes[:4])) / max(len(called), 1))
        found.append(len(called & set(genes[:4])) / 4)
    assert np.mean(found) > 0.8
    assert np.mean(false) <= 0.1


def test_two_cohorts_without_pairs_are_what_scipy_gives():
    diagnosis, samples = drawn(8)
    relapse = drawn(9, n=25)[0].assign(sample=lambda calls: "r" + calls["sample"])
    table = unpaired(diagnosis, samples, relapse, 25)
    assert table["p_value"].is_monotonic_increasing
    altering = [calls[~calls["classification"].isin(["Silent", "Intron"])] for calls in (diagnosis, relapse)]
    for row in table.itertuples():
        before, after = (rows.loc[rows["gene"] == row.gene, "sample"].nunique() for rows in altering)
        assert (row.n_diagnosis, row.diagnosis, row.n_relapse, row.relapse) == (before, 40, after, 25)
        assert (row.share_diagnosis, row.share_relapse) == pytest.approx((before / 40, after / 25))
        theirs = stats.fisher_exact([[after, 25 - after], [before, 40 - before]])
        assert (row.effect, row.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)
    np.testing.assert_array_equal(table["q_value"], q_values(table["p_value"].to_numpy()))
    again = unpaired(diagnosis.iloc[::-1], 40, relapse.iloc[::-1], [f"rs{i:03d}" for i in range(25)])
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.shared
def test_promyelocytic_leukaemia_at_diagnosis_and_relapse(shared_data):
    """Ids are a number and D or R: 22 relapses are of a patient of the other file, 36 are not.

    The files list samples with a mutation, and not how many were sequenced: the shares here are of those.
    """
    folder = shared_data / "formats" / "maf"
    primary, relapsed = (pd.read_csv(folder / f"APL_{time}.maf.gz", sep="\t") for time in ("primary", "relapse"))
    raw = {"D": primary, "R": relapsed}
    patients = {end: set(maf["Tumor_Sample_Barcode"].str.removesuffix(end)) for end, maf in raw.items()}
    both = sorted(patients["D"] & patients["R"])
    assert (len(patients["D"]), len(patients["R"]), len(both)) == (124, 58, 22)
    pairs = pd.DataFrame(
        {"patient": both, "diagnosis_sample": [f"{p}D" for p in both], "relapse_sample": [f"{p}R" for p in both]}
    )
    diagnosis, relapse = (maf.rename(columns={**MAF, "amino_acid_change": "HGVSp"}) for maf in raw.values())
    found = evolution(diagnosis, relapse, pairs)
    seen = {
        end: set(zip(maf["Tumor_Sample_Barcode"].str[:-1], maf["Hugo_Symbol"], strict=True)) for end, maf in raw.items()
    }
    seen = {end: {one for one in rows if one[0] in both} for end, rows in seen.items()}
    counts = {"kept": seen["D"] & seen["R"], "lost": seen["D"] - seen["R"], "gained": seen["R"] - seen["D"]}
    for status, rows in counts.items():
        mine = found.patients[found.patients["status"] == status]
        assert set(zip(mine["patient"], mine["gene"], strict=True)) == rows
        per_gene = Counter(gene for _, gene in rows)
        assert found.genes.set_index("gene")[status].to_dict() == {gene: per_gene[gene] for gene in found.genes["gene"]}
    assert found.genes.set_index("gene").loc["PML", ["lost", "gained"]].tolist() == [0, 3]
    renamed = found.variants.query("patient == 'DS12' and gene == 'ANKUB1'")  # the second file gives another class
    assert renamed["status"].tolist() == ["kept"]
    assert renamed.filter(like="classification").iloc[0].tolist() == ["Missense_Mutation", "Splice_Site"]
    later = relapse[~relapse["sample"].str.removesuffix("R").isin(both)]
    table = unpaired(diagnosis, diagnosis["sample"].unique(), later, later["sample"].unique()).set_index("gene")
    for gene, row in table.iterrows():
        a, c = (rows.loc[rows["gene"] == gene, "sample"].nunique() for rows in (later, diagnosis))
        assert row[["n_diagnosis", "diagnosis", "n_relapse", "relapse"]].tolist() == [c, 124, a, 36]
        assert row["p_value"] == pytest.approx(stats.fisher_exact([[a, 36 - a], [c, 124 - c]]).pvalue, rel=1e-9)
    assert set(table.index[table["q_value"] < 0.05]) == {
        "PML",
        "RARA",
    }  # where all-trans retinoic acid and arsenic bind
