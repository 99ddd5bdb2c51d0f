"""Views: by hand, by brute force on random cohorts, and on real patients; unmeasured is not negative."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from omics.interpret.alterations import NO, TO_CHECK, YES, agrees, parsed
from omics.interpret.antigens import CAVEAT, antigens_view, percentiles
from omics.interpret.knowledge import FORMS, table
from omics.interpret.lesions import MEASURED, NOT_MEASURED, lesions, measured
from omics.interpret.pharmacogenes import pharmacogenes_view
from omics.interpret.views import FEWEST, resistance_view, targets_view
from omics.read import read_calls
from omics.schema import DataError


def call(sample, gene, change="", kind="Missense_Mutation"):
    return {"sample": sample, "gene": gene, "classification": kind, "HGVSp": change}


def own(tmp_path, name, **row):
    """A user's table of one row."""
    given = dict.fromkeys(FORMS[name].names, "x") | {"evidence": "review", "reference": "PMID:1"}
    given |= {"checked": "2026-01-01", "status": "trial", "status_date": ""} | row
    path = tmp_path / f"my_{name}.tsv"
    columns = FORMS[name].names
    path.write_text("\t".join(columns) + "\n" + "\t".join(given[column] for column in columns) + "\n")
    return table(name, [path])


# --- agreement ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "lesion", "detail", "kind", "answer"),
    [
        ("mutation", "mutation", "", "", YES),
        ("mutation", "deletion", "GISTIC -2", "", NO),
        ("mutation or deletion", "deletion", "GISTIC -1", "", YES),
        ("activating mutation", "mutation", "p.R367Q", "Missense_Mutation", TO_CHECK),
        ("activating mutation", "deletion", "GISTIC -2", "", NO),
        ("loss-of-function mutation", "mutation", "p.R1*", "Nonsense_Mutation", TO_CHECK),
        ("truncating mutation", "mutation", "p.R1*", "Nonsense_Mutation", YES),
        ("truncating mutation", "mutation", "p.R1H", "Missense_Mutation", NO),
        ("truncating mutation", "mutation", "", "Splice_Site", TO_CHECK),
        ("mutation R367Q", "mutation", "p.R367Q", "", YES),
        ("mutation R367Q", "mutation", "p.Arg367Gln", "", YES),
        ("mutation R367Q", "mutation", "R367Q", "", YES),
        ("mutation R367Q", "mutation", "p.R367W", "", NO),
        ("mutation R367Q", "mutation", "p.R36Q", "", NO),
        ("mutation R367Q", "mutation", "p.R367fs", "", NO),
        ("mutation R367Q", "mutation", "p.R366_R367delinsQ", "", TO_CHECK),
        ("mutation R367Q", "mutation", "", "", TO_CHECK),
        ("mutation of S103", "mutation", "p.S103N", "", YES),
        ("mutation of S103", "mutation", "p.A190T", "", NO),
        ("deletion, exon 2 mutation or skipping of exon 2", "mutation", "p.A1T", "", TO_CHECK),
        ("deletion, exon 2 mutation or skipping of exon 2", "deletion", "", "", YES),
        ("deletion or low expression", "mutation", "", "", TO_CHECK),
        ("high expression", "mutation", "", "", TO_CHECK),
        ("BCR::ABL1", "fusion", "BCR::ABL1", "", YES),
        ("BCR::ABL1", "fusion", "NUP214::ABL1", "", NO),
        ("BCR::ABL1", "fusion", "partner not named", "", TO_CHECK),
        ("BCR::ABL1", "mutation", "p.T315I", "", NO),
        ("KMT2A fusion", "fusion", "KMT2A::AFF1", "", YES),
        ("KMT2A-rearranged, infants", "fusion", "KMT2A::AFF1", "", TO_CHECK),
        ("JAK2 fusion or mutation, BCR::ABL1-like", "mutation", "p.R683G", "", TO_CHECK),
        ("JAK2 fusion or mutation, BCR::ABL1-like", "deletion", "", "", NO),
        ("mutated KRAS, NRAS, PTPN11 or FLT3", "mutation", "", "", YES),
        ("mutation at relapse", "mutation", "", "", TO_CHECK),
    ],
)
def test_whether_a_lesion_is_what_the_table_means(words, lesion, detail, kind, answer):
    asked = parsed(words, frozenset({"KMT2A", "JAK2", "KRAS", "NRAS", "PTPN11", "FLT3"}))
    assert agrees(asked, lesion, detail, kind) == answer


def test_class_of_a_fusion_is_asked_of_the_table_of_fusions():
    asked = parsed("ABL-class fusion")
    for listed, answer in (("BCR::ABL1-like, ABL-class", YES), ("BCR::ABL1", NO), ("", TO_CHECK)):
        assert agrees(asked, "fusion", "A::B", "", listed) == answer


def test_words_of_every_row_that_ships_are_understood():
    """What names no kind of lesion is about expression, activity or a group of patients."""
    symbols = frozenset(table("targets")["symbol"])
    for words in [*table("resistance")["alteration"], *table("targets")["lesion"]]:
        kinds = parsed(words, symbols).kinds
        named = any(
            part in words for part in ("mutat", "delet", "fusion", "rearrang", "amplif", "TCF3::HLF", "ETV6::N")
        )
        assert bool(kinds) == (named or words == "BCR::ABL1"), words


# --- resistance ---------------------------------------------------------------------------------------------------


def test_resistance_of_patients_by_hand():
    calls = pd.DataFrame([call("a", "NT5C2", "p.R367Q"), call("b", "NT5C2", "p.R39Q"), call("b", "GAPDH")])
    copies = pd.DataFrame({"IKZF1": [-1, 0], "NT5C2": [0, 0]}, index=["a", "c"])
    labels = pd.Series({"a": "S1", "b": "S1", "c": "S2"})
    found = resistance_view(
        lesions(calls=calls, copy_number=copies), measured(sequenced=["a", "b"], copy_number=copies), labels
    )
    rows = found.patients.set_index(["sample", "gene"]).sort_index()
    nt5c2 = rows.loc[("a", "NT5C2")].set_index("alteration")["agrees"]
    assert nt5c2.to_dict() == {"mutation": YES, "mutation R367Q": YES, "activating mutation": TO_CHECK}
    assert rows.loc[("b", "NT5C2")].set_index("alteration")["agrees"]["mutation R367Q"] == NO
    unseen = rows.loc[("c", "NT5C2")]
    assert unseen[["lesion", "drug", "known", "detail"]].to_numpy().tolist() == [
        ["mutation", "thiopurines", NOT_MEASURED, ""]
    ]
    ikzf1 = rows.loc[("a", "IKZF1")]
    assert set(ikzf1["drug"]) == {"glucocorticoids", "prednisolone", "thiopurines"}
    assert set(ikzf1["known"]) == {MEASURED}
    assert ("c", "IKZF1") not in rows.index, "looked at, and not deleted"
    assert set(rows.loc[("b", "IKZF1")]["known"]) == {NOT_MEASURED}
    assert "GAPDH" not in rows.index.get_level_values("gene")
    assert set(rows.loc[("a", "ASNS")]["known"]) == {NOT_MEASURED}, "no lesion shows expression"


def test_unmeasured_is_no_negative():
    calls = pd.DataFrame([call("a", "TP53", "p.R248Q")])
    labels = pd.Series({"a": "S1", "b": "S1", "c": "S1", "d": "S2"})
    found = resistance_view(lesions(calls=calls), measured(sequenced=["a", "b", "d"]), labels).subtypes
    row = found.query("subtype == 'S1' and gene == 'TP53'").set_index("lesion")
    assert row.loc["mutation", ["n_with", "n_known", "share"]].tolist() == [1, 2, 0.5]
    assert row.loc["mutation", "known"] == MEASURED
    assert row.loc["deletion", "n_known"] == 0
    assert np.isnan(row.loc["deletion", "share"])
    assert row.loc["deletion", "known"] == NOT_MEASURED


@pytest.mark.parametrize("seed", range(3))
def test_shares_and_tests_of_random_cohorts_by_brute_force(seed):
    rng = np.random.default_rng(seed)
    genes = ["NT5C2", "TP53", "KRAS", "IKZF1", "PRPS1"]
    samples = [f"s{i:03d}" for i in range(60)]
    labels = pd.Series(rng.choice(["S1", "S2", "S10", None], 60, p=[0.4, 0.3, 0.2, 0.1]), samples)
    matrix = pd.DataFrame(rng.choice([0, 1, np.nan], (60, 5), p=[0.6, 0.25, 0.15]), samples, genes)
    copies = pd.DataFrame(rng.choice([-2, -1, 0, 1, np.nan], (60, 5)), samples, genes)
    given = {"mutation_matrix": matrix, "copy_number": copies}
    found = resistance_view(lesions(**given), measured(**given), labels).subtypes
    assert found["subtype"].drop_duplicates().tolist() == ["S1", "S2", "S10"]
    compared = 0
    for row in found.itertuples():
        if row.gene not in genes:
            assert (row.n_known, row.known) == (0, NOT_MEASURED)
            continue
        values = matrix[row.gene] if row.lesion == "mutation" else copies[row.gene]
        has = values == 1 if row.lesion == "mutation" else values < 0
        known, inside = values.notna(), labels == row.subtype
        other = labels.notna() & ~inside
        a, n, c, m = (int(x.sum()) for x in (has & inside, known & inside, has & other, known & other))
        assert (row.n_with, row.n_known, row.n_with_others, row.n_known_others) == (a, n, c, m)
        assert (row.share, row.share_others) == (a / n, c / m)
        test = stats.fisher_exact([[a, n - a], [c, m - c]])
        if a + c >= FEWEST:
            assert row.p_value == pytest.approx(test.pvalue, rel=1e-8)
            compared += 1
        assert row.odds_ratio == pytest.approx(test.statistic, nan_ok=True)
    assert compared > 20
    once = found.dropna(subset="p_value").drop_duplicates(["subtype", "gene", "lesion"])
    np.testing.assert_allclose(once["q_value"], stats.false_discovery_control(once["p_value"]))
    assert found.groupby(["subtype", "gene", "lesion"])["q_value"].nunique().max() == 1


def test_to_be_checked_is_counted_apart():
    samples = [f"s{i}" for i in range(8)]
    calls = pd.DataFrame([call(sample, "PRPS1", "p.A190T") for sample in samples[:3]])
    calls.loc[3] = call("s3", "TP53", "p.R1H")
    labels = pd.Series(["S1"] * 4 + ["S2"] * 4, samples)
    found = resistance_view(lesions(calls=calls), measured(sequenced=samples), labels).subtypes
    rows = found.query("subtype == 'S1' and lesion == 'mutation'").set_index("gene")
    assert rows.loc["PRPS1", ["n_with", "n_to_check"]].tolist() == [3, 3]
    assert rows.loc["TP53", ["n_with", "n_to_check"]].tolist() == [1, 0]
    assert rows.loc["PRPS1", "p_value"] == pytest.approx(stats.fisher_exact([[3, 1], [0, 4]]).pvalue)
    assert np.isnan(rows.loc["TP53", "p_value"]), "one carrier is not tested"


def test_rows_of_a_user_keep_their_origin(tmp_path):
    known = own(tmp_path, "resistance", symbol="ABCB1", role="drug activation", alteration="amplification", drug="many")
    copies = pd.DataFrame({"ABCB1": [2, 1]}, index=["a", "b"])
    found = resistance_view(lesions(copy_number=copies), measured(copy_number=copies), known=known)
    rows = found.patients[found.patients["gene"] == "ABCB1"]
    assert rows[["sample", "lesion", "agrees", "origin"]].to_numpy().tolist() == [
        ["a", "amplification", YES, "my_resistance.tsv"]
    ]
    assert found.subtypes.empty


def test_no_patient_and_two_labels():
    nothing = resistance_view(lesions(), measured())
    assert nothing.patients.empty
    assert nothing.subtypes.empty
    with pytest.raises(DataError, match="duplicate sample: a"):
        resistance_view(lesions(), measured(), pd.Series(["x", "y"], ["a", "a"]))


# --- targets ------------------------------------------------------------------------------------------------------


def test_targets_of_patients_by_hand():
    texts = pd.Series(
        {"a": "BCR::ABL1", "b": "EBF1::PDGFRB", "c": "KMT2A::AFF1", "d": "hyperdiploid", "e": None, "f": "TCF3::PBX1"}
    )
    calls = pd.DataFrame([call("d", "NRAS", "p.G12D"), call("d", "IL7R", "p.T244I")])
    expression = pd.DataFrame({"menin": [1.0, 2, 3, 4, np.nan, 5], "ABL1": [6.0, 5, 4, 3, 2, 1]}, list("abcdef"))
    given = lesions(calls=calls, fusions=texts), measured(sequenced=["d"], fusions=texts)
    found = targets_view(*given, expression=expression).patients
    carried = found[found["known"] == MEASURED].set_index(["sample", "target", "indication"])

    def answer(*key):
        return carried.loc[[one == key for one in carried.index], "agrees"].unique().tolist()

    assert answer("a", "ABL1", "BCR::ABL1") == [YES]
    assert answer("a", "ABL1", "ABL-class fusion") == [NO]
    assert answer("b", "PDGFRB", "ABL-class fusion") == [YES]
    assert answer("c", "MEN1", "KMT2A fusion") == [YES]
    assert answer("c", "FLT3", "KMT2A-rearranged, infants") == [TO_CHECK]
    assert answer("d", "MAP2K1", "mutated KRAS, NRAS, PTPN11 or FLT3") == [YES]
    assert answer("d", "IL7R", "IL7R mutation") == [YES]
    assert answer("f", "BCL2", "TCF3::HLF") == []
    menin = found[found["target"] == "MEN1"].set_index("sample")
    assert menin.loc["c", "gene"] == "KMT2A"
    assert menin.loc["c", "percentile"] == pytest.approx(100 * 2.5 / 5)
    assert menin.loc["c", "agents"].startswith("revumenib")
    unseen = menin.loc["e"]
    assert (unseen["known"], unseen["lesion"], unseen["agrees"]) == (NOT_MEASURED, "fusion", "")
    assert np.isnan(unseen["percentile"])
    assert "d" not in menin.index, "looked at for KMT2A, and none found"
    assert set(found.loc[(found["sample"] == "a") & (found["target"] == "MAP2K1"), "gene"]) == {
        "KRAS; NRAS; PTPN11; FLT3"
    }
    dependency = found[(found["target"] == "LCK") & (found["sample"] == "d")]
    assert dependency[["lesion", "agrees", "known"]].to_numpy().tolist() == [["", TO_CHECK, NOT_MEASURED]]
    assert set(found.loc[found["sample"] == "e", "known"]) == {NOT_MEASURED}


def test_a_fusion_is_known_to_be_absent_only_where_it_was_looked_for():
    texts = pd.Series({"a": "BCR::ABL1", "b": "hyperdiploid", "c": np.nan, "d": "B-other"})
    labels = pd.Series({"a": "S1", "b": "S2", "c": "S2", "d": "S2"})
    found = targets_view(lesions(fusions=texts), measured(fusions=texts), labels).subtypes
    known = found.set_index(["subtype", "target", "indication", "agents"])["n_known"].sort_index()
    assert known["S2", "ABL1", "BCR::ABL1", "dasatinib"].tolist() == [1]
    assert known["S2", "ABL1", "ABL-class fusion", "imatinib; dasatinib"].tolist() == [0], "BCR::ABL1 is none of these"
    assert known["S2", "KMT2A", "KMT2A fusion", "revumenib"].tolist() == [0]


@pytest.mark.shared
def test_targets_of_real_patients(shared_data):
    folder = shared_data / "laml"
    calls = read_calls(folder / "mutations.maf.gz")
    clinical = pd.read_csv(folder / "clinical.tsv", sep="\t", index_col="patient_id")
    given = (
        lesions(calls=calls, fusions=clinical["cytogenetic_code"]),
        measured(sequenced=calls["sample"].unique(), fusions=clinical["cytogenetic_code"]),
    )
    found = targets_view(*given, clinical["fab"])
    altering = calls[~calls["classification"].isin(["Silent", "RNA", "Intron", "IGR", "5'Flank"])]
    ras = altering[altering["gene"].isin(["KRAS", "NRAS", "PTPN11", "FLT3"])]
    mek = found.patients.query("target == 'MAP2K1' and known == 'measured'")
    assert set(mek["sample"]) == set(ras["sample"])
    assert set(mek["agrees"]) == {YES}
    m5 = found.subtypes.query("subtype == 'M5' and target == 'MAP2K1'").iloc[0]
    inside = clinical.index[clinical["fab"] == "M5"].intersection(calls["sample"].unique())
    assert (m5["n_with"], m5["n_known"]) == (inside.isin(ras["sample"]).sum(), len(inside))
    menin = found.patients.query("target == 'MEN1' and known == 'measured'")
    assert set(menin["sample"]) == set(clinical.index[clinical["cytogenetic_code"].fillna("").str.startswith("MLL")])
    abl = found.patients.query("indication == 'BCR::ABL1' and agrees == 'yes'")
    assert set(abl["sample"]) == set(clinical.index[clinical["cytogenetic_code"] == "BCR-ABL1"])
    resistant = resistance_view(*given).patients.query("gene == 'FLT3' and known == 'measured'")
    assert resistant["sample"].nunique() == 52


# --- antigens -----------------------------------------------------------------------------------------------------


def test_percentiles_by_counting():
    values = pd.DataFrame({"CD20": [3.0, 1, 1, np.nan, 7, 1]}, list("abcdef"))
    found = percentiles(values, ["MS4A1", "CD19"])
    known = values["CD20"].dropna()
    brute = {i: 100 * ((known < x).sum() + (known == x).sum() / 2) / len(known) for i, x in known.items()}
    assert found["MS4A1"].dropna().to_dict() == pytest.approx(brute)
    assert found["CD19"].isna().all()
    with pytest.raises(DataError, match="duplicate gene: MS4A1"):
        percentiles(values.assign(MS4A1=1.0), ["MS4A1"])
    with pytest.raises(DataError, match="infinite"):
        percentiles(values.assign(CD19=-np.inf), ["CD19"])


def test_antigens_of_subtypes_by_brute_force():
    rng = np.random.default_rng(0)
    samples = [f"s{i:02d}" for i in range(60)]
    labels = pd.Series(["even"] * 20 + ["mixed"] * 20 + ["none"] * 20, samples)
    cd19 = np.concatenate(
        [rng.normal(9, 0.1, 20), rng.choice([2, 9], 20) + rng.normal(0, 0.1, 20), rng.normal(1, 1, 20)]
    )
    expression = pd.DataFrame({"CD19": cd19}, samples)
    found = antigens_view(expression, labels)
    rows = found.subtypes[found.subtypes["gene"] == "CD19"].drop_duplicates("subtype").set_index("subtype")
    place = 100 * (stats.rankdata(cd19) - 0.5) / 60
    for start, name in zip((0, 20, 40), ("even", "mixed", "none"), strict=True):
        mine = slice(start, start + 20)
        row = rows.loc[name]
        assert row["n"] == 20
        assert row["median_percentile"] == pytest.approx(np.median(place[mine]))
        assert row["share_above_median"] == pytest.approx(np.mean(cd19[mine] > np.median(cd19)))
        assert row["share_low"] == pytest.approx(np.mean(place[mine] <= 10))
        assert row["spread"] == pytest.approx(stats.iqr(cd19[mine]) / stats.iqr(cd19))
        g, k = stats.skew(cd19[mine], bias=False), stats.kurtosis(cd19[mine], bias=False)
        assert row["bimodality"] == pytest.approx((g**2 + 1) / (k + 3 * 19**2 / (18 * 17)))
    assert rows.loc["even", "spread"] < 0.1 < rows.loc["mixed", "spread"]
    assert rows.loc["even", "bimodality"] < 5 / 9 < rows.loc["mixed", "bimodality"]
    assert rows.loc["none", "share_low"] > 0.25
    patients = found.patients.query("gene == 'CD19'").set_index("sample")
    np.testing.assert_allclose(patients.loc[samples, "percentile"], place)
    assert (patients["low"] == "yes").sum() == 6


def test_every_antigen_is_a_row_also_where_it_was_not_measured():
    labels = pd.Series({"a": "S1", "b": "S2"})
    shipped = table("antigens")
    for expression in (None, pd.DataFrame({"GAPDH": [1.0, 2.0]}, ["a", "b"])):
        found = antigens_view(expression, labels)
        assert len(found.subtypes) == 2 * len(shipped)
        assert set(found.subtypes["known"]) == set(found.patients["known"]) == {NOT_MEASURED}
        assert found.subtypes["share_low"].isna().all()
        assert found.subtypes[["escape", "confirm", "agents", "reference"]].ne("").all(axis=None)
        assert len(found.patients) == 2 * shipped["symbol"].nunique()
    assert "not surface protein" in CAVEAT


def test_a_patient_without_expression_is_not_low():
    expression = pd.DataFrame({"CD22": [1.0, 2, 3, np.nan]}, list("abcd"))
    found = antigens_view(expression, pd.Series("S", list("abcde")))
    rows = found.patients.query("gene == 'CD22'").set_index("sample")
    assert rows["low"].tolist() == ["no", "no", "no", "", ""]
    assert rows["known"].tolist() == [MEASURED] * 3 + [NOT_MEASURED] * 2
    summary = found.subtypes.query("gene == 'CD22'").iloc[0]
    assert (summary["n"], summary["share_low"]) == (3, 0)
    assert np.isnan(summary["spread"]), "three patients have no spread"


# --- pharmacogenes ------------------------------------------------------------------------------------------------


def germline(*rows, **columns):
    table_ = pd.DataFrame(rows, columns=["sample", "gene", "variant"]).assign(sample_type="germline")
    return table_.assign(**columns)


def test_what_to_test_without_a_table():
    found = pharmacogenes_view()
    assert len(found) == len(table("pharmacogenes"))
    assert set(found["known"]) == {NOT_MEASURED}
    assert set(found["requires"]) == {"germline only"}
    assert set(found["agrees"]) == set(found["sample"]) == {""}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (pd.DataFrame({"TPMT": [1, 0]}, ["a", "b"]), "no column sample, gene, variant, sample_type"),
        (
            pd.DataFrame({"Tumor_Sample_Barcode": ["a"], "Hugo_Symbol": ["TPMT"]}),
            "Tumor_Sample_Barcode is of a table of",
        ),
        (pd.DataFrame([call("a", "TPMT")]).assign(variant="x", sample_type="germline"), "classification is of a table"),
        (germline(("a", "TPMT", "*3A")).drop(columns="sample_type"), "no column sample_type"),
        (germline(("a", "TPMT", "*3A"), sample_type="tumour"), "sample_type is 'tumour' in 1 rows"),
        (germline(("a", "TPMT", "*3A"), sample_type=None), "sample_type is 'None'"),
        (germline(("TARGET-10-PAAAAA-09A-01D", "TPMT", "*3A")), "barcode of a tumour sample"),
        (germline(("TCGA-AB-2802-03A", "TPMT", "*3A")), "barcode of a tumour sample"),
    ],
)
def test_a_tumour_is_refused_and_why(given, why):
    with pytest.raises(DataError, match="germline only") as error:
        pharmacogenes_view(given)
    assert why in error.value.what
    assert "remission" in error.value.fix


@pytest.mark.shared
def test_real_calls_of_tumours_are_refused(shared_data):
    calls = read_calls(shared_data / "laml" / "mutations.maf.gz")
    with pytest.raises(DataError, match="germline only"):
        pharmacogenes_view(calls.assign(variant=calls["HGVSp"], sample_type="germline"))


def test_what_patients_carry():
    given = germline(
        *[("TARGET-10-PAA-10A", "TPMT", "*1/*3A"), ("b", "TPMT", "*1/*1"), ("b", "CEP72", "rs924607 TT")],
        *[("c", "CEP72", "rs924607 CT"), ("c", "SLCO1B1", "rs1234"), ("c", "OATP1B1", "rs4149081 AG")],
        *[("c", "G6PD", "A-"), ("c", "HLA-DRB1", "*07:01"), ("b", "HLA-DRB1", "*07:02")],
    )
    found = pharmacogenes_view(given)
    assert len(found) == 3 * len(table("pharmacogenes"))
    agree = found.set_index(["sample", "gene"])["agrees"]
    expected = {("TARGET-10-PAA-10A", "TPMT"): YES, ("b", "TPMT"): NO, ("b", "CEP72"): YES, ("c", "CEP72"): TO_CHECK}
    expected |= {("c", "SLCO1B1"): TO_CHECK, ("c", "G6PD"): TO_CHECK, ("c", "HLA-DRB1"): YES, ("b", "HLA-DRB1"): NO}
    assert {key: agree[key] for key in expected} == expected
    for sample, gene in itertools.product(["TARGET-10-PAA-10A", "b", "c"], ["NUDT15", "RARG"]):
        row = found[(found["sample"] == sample) & (found["gene"] == gene)].iloc[0]
        assert (row["known"], row["agrees"]) == (NOT_MEASURED, "")
