"""Simulated cohorts: the promises that the other tests and the demo build on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import binom
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from omics import _simulate_patients as draws
from omics import simulate as module
from omics.schema import NODES, UsageError
from omics.simulate import CLINICAL_COLUMNS, simulate

SIZES = {"n_patients": 240, "n_cpgs": 1500, "n_genes": 1000, "seed": 3}


def read_matrix(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", index_col=0, dtype={"feature": str})


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=[""])


def patient(barcode: str) -> str:
    return "-".join(barcode.split("-")[:3])


def tissue(barcode: str) -> str:
    return barcode.split("-")[3]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return simulate(tmp_path_factory.mktemp("plain") / "cohort", **SIZES)


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return simulate(tmp_path_factory.mktemp("null") / "cohort", **SIZES, null=True)


def diagnosis(files: dict[str, Path], layer: str) -> pd.DataFrame:
    """Transformed values at diagnosis, samples x features, indexed by patient."""
    matrix = read_matrix(files[layer])
    matrix = matrix.loc[:, [tissue(barcode) == "09A" for barcode in matrix]]
    matrix.columns = matrix.columns.map(patient)
    if layer == "methylation":
        beta = matrix.T.clip(1e-3, 1 - 1e-3)
        values = np.log2(beta / (1 - beta))
        return values.fillna(values.mean())
    return np.log2(matrix / matrix.sum() * 1e6 + 1).T


def components(files: dict[str, Path], n_components: int = 11) -> pd.DataFrame:
    layers = [diagnosis(files, layer) for layer in ("methylation", "expression")]
    both = layers[0].index.intersection(layers[1].index)
    centred = [(layer.loc[both] - layer.loc[both].mean()) for layer in layers]
    joint = pd.concat([layer / np.sqrt((layer**2).sum().sum()) for layer in centred], axis=1)
    scores = PCA(n_components, random_state=0).fit_transform(joint)
    return pd.DataFrame(scores / scores.std(axis=0), index=both)


# --- files --------------------------------------------------------------------------------------------------------


def test_matrices_hold_what_their_layer_holds(cohort):
    beta, counts = read_matrix(cohort["methylation"]), read_matrix(cohort["expression"])
    assert len(beta) == SIZES["n_cpgs"]
    assert len(counts) == SIZES["n_genes"]
    for matrix in (beta, counts):
        assert matrix.index.is_unique
        assert matrix.columns.is_unique
    assert beta.min().min() >= 0
    assert beta.max().max() <= 1
    assert beta.isna().mean().mean() == pytest.approx(0.01, abs=0.001)
    assert {dtype.kind for dtype in counts.dtypes} == {"i"}
    assert counts.min().min() >= 0
    assert beta.index.str.fullmatch(r"cg\d{8}").all()
    assert {"NRAS", "CRLF2", "MEIS1"} <= set(counts.index)


def test_text_is_that_of_a_plain_formatter():
    names = ["cg1", "cg22", "gene-of-another-width"]
    betas = np.array([[0, 10_000, module._MISSING], [1, 1234, 9999], [500, 50, 5]], dtype=np.uint16)
    counts = np.array([[0, 7, 10], [99, 100, 12_345], [999_999, 1, 0]], dtype=np.uint32)
    written = b"".join(module._lines(names, betas, module._fields("methylation"))).decode()
    plain = [["NA" if code == module._MISSING else f"{code / 1e4:.4f}" for code in row] for row in betas]
    assert written == "".join("\t".join([name, *row]) + "\n" for name, row in zip(names, plain, strict=True))
    written = b"".join(module._lines(names, counts, module._fields("expression"))).decode()
    assert written == "".join("\t".join([n, *map(str, row)]) + "\n" for n, row in zip(names, counts, strict=True))


def test_same_seed_same_bytes_and_another_seed_another_cohort(tmp_path):
    sizes = {"n_patients": 20, "n_cpgs": 50, "n_genes": 40}
    first, again, other = (
        simulate(tmp_path / name, **sizes, seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    for path in sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name
    assert set(first) == set(again)
    assert first["methylation"].read_bytes()[4:8] == bytes(4), "the header holds the time"
    assert not set(read_table(first["clinical"]).patient_id) & set(read_table(other["clinical"]).patient_id)


def test_more_patients_keep_the_first_as_they_are(tmp_path):
    sizes = {"n_cpgs": 4200, "n_genes": 300, "seed": 2}  # two blocks of CpGs
    small = simulate(tmp_path / "small", n_patients=90, **sizes)
    large = simulate(tmp_path / "large", n_patients=130, **sizes)
    ids = read_table(small["clinical"]).patient_id
    for layer in ("methylation", "expression"):
        few, many = read_matrix(small[layer]), read_matrix(large[layer])
        assert len(many.columns) > len(few.columns)
        pd.testing.assert_frame_equal(few, many[few.columns])
        assert [barcode for barcode in many if patient(barcode) in set(ids)] == list(few.columns)
    for what, column in (("clinical", "patient_id"), ("mutations", "Tumor_Sample_Barcode")):
        few, many = read_table(small[what]), read_table(large[what])
        pd.testing.assert_frame_equal(few, many[many[column].map(patient).isin(ids)].head(len(few)), check_dtype=False)
    for name in ("patients.tsv", "factors.tsv"):
        few, many = (read_table(files["truth"] / name) for files in (small, large))
        pd.testing.assert_frame_equal(few, many.head(len(few)))
    assert small["probes"].read_bytes() == large["probes"].read_bytes()


def test_samples_tell_patient_layer_and_timepoint(cohort):
    clinical = read_table(cohort["clinical"]).set_index("patient_id")
    beta, counts = read_matrix(cohort["methylation"]).columns, read_matrix(cohort["expression"]).columns
    sequenced = cohort["sequenced"].read_text().split()
    assert beta.str.fullmatch(r"TARGET-10-PA[A-Z]{4}-(09|04|40|10)A-01D").all()
    assert counts.str.fullmatch(r"TARGET-10-PA[A-Z]{4}-(09|04|40)A-01R").all()
    normal = {patient(barcode) for barcode in beta if tissue(barcode) == "10A"}
    assert normal
    assert normal < {patient(barcode) for barcode in beta if tissue(barcode) == "09A"}
    relapse = [barcode for barcode in (*beta, *counts, *sequenced) if tissue(barcode) in ("04A", "40A")]
    assert {tissue(barcode) for barcode in relapse} == {"04A", "40A"}
    assert set(clinical.first_event[[patient(barcode) for barcode in relapse]]) == {"Relapse"}
    having = [{patient(barcode) for barcode in barcodes} for barcodes in (beta, counts, sequenced)]
    assert set.union(*having) == set(clinical.index)
    for patients, share in zip(having, (0.90, 0.90, 0.88), strict=True):
        low, high = binom.interval(0.999, len(clinical), share)
        assert low <= len(patients) <= high


def test_maf_has_real_genes_silent_variants_and_sequenced_samples_without_a_row(cohort):
    maf = read_table(cohort["mutations"])
    sequenced = cohort["sequenced"].read_text().split()
    known = {gene.symbol: gene for gene in (*draws.DRIVERS, *draws.PASSENGERS)}
    assert set(maf.NCBI_Build) == {"GRCh38"}
    assert set(maf.Tumor_Sample_Barcode) <= set(sequenced)
    assert "Silent" in set(maf.Variant_Classification)
    assert (maf.Entrez_Gene_Id == maf.Hugo_Symbol.map(lambda symbol: known[symbol].entrez)).all()
    assert (maf.Reference_Allele != maf.Tumor_Seq_Allele2).all()
    assert (maf.End_Position >= maf.Start_Position).all()
    deletions = maf[maf.Variant_Type == "DEL"]
    length = deletions.End_Position - deletions.Start_Position + 1
    assert (length == deletions.Reference_Allele.str.len()).all()
    assert ((length % 3 == 0) == (deletions.Variant_Classification == "In_Frame_Del")).all()


def test_probe_annotation_covers_the_matrix(cohort):
    probes = pd.read_csv(cohort["probes"], sep="\t", keep_default_na=False)
    assert list(probes.columns) == ["probe", "chromosome", "position", "gene"]
    assert list(probes.probe) == list(read_matrix(cohort["methylation"]).index)
    assert set(probes.gene) - {""} <= set(read_matrix(cohort["expression"]).index)
    nras = probes[probes.gene == "NRAS"]
    assert set(nras.chromosome) <= {"chr1"}


def test_clinical_columns_lead_to_what_the_schema_declares(cohort):
    columns = [entry if isinstance(entry, str) else entry["column"] for entry in CLINICAL_COLUMNS.values()]
    assert sorted(columns) == sorted(read_table(cohort["clinical"]).columns)
    declared = {variable.name for variable in NODES["clinical"]}
    later = {"stratum", "entry_time", "mrd_time", "remission_time", "transplant_time", "second_remission_time",
             "second_event", "second_event_time"}  # fmt: skip
    assert set(CLINICAL_COLUMNS) - {"patient"} == declared - {"relapse"} - later


def test_clinical_table_is_consistent(cohort):
    table = read_table(cohort["clinical"])
    refractory = table.refractory == 1
    assert table.first_event[refractory].isna().all()
    assert table.event_days[refractory].isna().all()
    assert table.event_days[~refractory].ge(1).all()
    remission = table.first_event == "Death in remission"
    assert (table.death_days[remission] == table.event_days[remission]).all()
    assert table.death[remission].eq(1).all()
    assert (table.death_days[~refractory] >= table.event_days[~refractory]).all()
    censored = table.first_event == "Censored"
    assert table.death[censored].eq(0).all()
    high = (table.age_years >= 10) | (table.wbc_at_diagnosis >= 50)
    assert ((table.nci_risk == "High") == high).all()


# --- truth --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("no_effect", [False, True])
@pytest.mark.parametrize("seed", [1, 11])
def test_rates_are_those_of_childhood_all(seed, no_effect):
    outcomes = draws.draw(draws.Population(seed, 10, 10, no_effect), 3000).outcomes
    rates = {-1: 0.02, 1: 0.13, 2: 0.025, 3: 0.011}
    for code, rate in rates.items():
        low, high = binom.interval(0.999, len(outcomes), rate)
        assert low <= (outcomes.code == code).sum() <= high, code
    assert 0.35 <= 1 - outcomes.death[outcomes.code == 1].mean() <= 0.50
    assert (outcomes.death_days[outcomes.death == 0] > 5 * 365.25).mean() > 0.85


def test_incidence_is_the_integral_of_the_competing_hazards():
    theta, lp, horizon = np.array([0.14, 0.03, 0.02]), np.array([-1.0, 0.0, 2.0]), 5.0

    def cumulative(cause, scale, lp, time):
        risk = np.exp(lp) if cause.prognostic else 1.0
        return scale * risk * (1 - np.exp(-((time / cause.scale) ** cause.shape)))

    def density(time, which, lp):
        free = np.exp(-sum(cumulative(c, s, lp, time) for c, s in zip(draws.CAUSES, theta, strict=True)))
        step = 1e-5
        cause, scale = draws.CAUSES[which], theta[which]
        slope = (cumulative(cause, scale, lp, time + step) - cumulative(cause, scale, lp, time - step)) / (2 * step)
        return free * slope

    expected = [[quad(density, 1e-5, horizon, args=(which, value))[0] for value in lp] for which in range(3)]
    np.testing.assert_allclose(draws._incidence(theta, lp, horizon), expected, rtol=1e-3)


def test_oracle_risk_is_what_happens():
    cohort = draws.draw(draws.Population(4, 10, 10, False), 6000)
    days, code = cohort.outcomes.event_days, cohort.outcomes.code
    # who is lost within five years is so at random: the others show the risk
    known = cohort.uniform.lost.ge(0.08) & (code >= 0)
    relapsed = ((code == 1) & (days <= 5 * 365.25))[known]
    risk = pd.Series(cohort.risk)[known]
    for _, group in risk.groupby(pd.qcut(risk, 4, labels=False)):
        low, high = binom.interval(0.999, len(group), group.mean())
        assert low <= relapsed[group.index].sum() <= high
    assert 0.78 <= roc_auc_score(relapsed, risk) <= 0.87


def test_subtypes_are_found_in_the_layers_and_are_no_clusters_of_site(cohort):
    scores, truth = components(cohort), read_table(cohort["truth"] / "patients.tsv").set_index("patient")
    clinical = read_table(cohort["clinical"]).set_index("patient_id")
    labels = KMeans(len(draws.SUBTYPES), n_init=10, random_state=0).fit_predict(scores)
    assert adjusted_rand_score(truth.subtype[scores.index], labels) >= 0.95
    assert adjusted_rand_score(clinical.site[scores.index], labels) < 0.05


def test_layers_carry_the_planted_share_of_variance(cohort):
    factors = read_table(cohort["truth"] / "factors.tsv").set_index("patient")
    for layer in ("methylation", "expression"):
        values = diagnosis(cohort, layer)
        values -= values.mean()

        def explained(names, values=values):
            known = factors.loc[values.index, names]
            known = known - known.mean()
            fitted = known.to_numpy() @ np.linalg.lstsq(known, values, rcond=None)[0]
            return (fitted**2).sum() / (values.to_numpy() ** 2).sum()

        programmes = [subtype.name for subtype in draws.SUBTYPES]
        assert 0.3 <= explained(list(factors)) <= 0.5
        assert 0.02 <= explained(["site"]) < explained(programmes)
        assert explained(["resistance"]) > 0.02


def test_weights_name_the_features_that_carry_a_factor(cohort):
    weights = read_table(cohort["truth"] / "weights.tsv")
    factors = read_table(cohort["truth"] / "factors.tsv").set_index("patient")
    assert weights.groupby(["layer", "factor"]).size().max() == 100
    planted = {layer: set(rows.factor) for layer, rows in weights.groupby("layer")}
    assert {"resistance", "differentiation", "site"} <= planted["methylation"] & planted["expression"]
    assert planted["methylation"] ^ planted["expression"] == {"methylation_only", "expression_only"}
    values = diagnosis(cohort, "expression")
    top = weights[(weights.layer == "expression") & (weights.factor == "resistance")].head(10)
    for feature, weight in zip(top.feature, top.weight, strict=True):
        correlation = values[feature].corr(factors.resistance[values.index])
        assert np.sign(correlation) == np.sign(weight)
        assert abs(correlation) > 0.3


def test_planted_sets_rise_with_what_they_follow_and_decoys_do_not(cohort):
    sets = {line.split("\t")[0]: line.split("\t")[2:] for line in cohort["sets"].read_text().splitlines()}
    truth = json.loads((cohort["truth"] / "truth.json").read_text())
    assert {name: one["n_genes"] for name, one in truth["gene_sets"].items()} == {n: len(g) for n, g in sets.items()}
    planted = {name: one for name, one in truth["gene_sets"].items() if name.startswith("PLANTED")}
    assert {one["follows"] for one in planted.values()} == {
        *(subtype.name for subtype in draws.SUBTYPES), "resistance", "differentiation", "expression_only",
    }  # fmt: skip
    values = diagnosis(cohort, "expression")
    scores = read_table(cohort["truth"] / "factors.tsv").set_index("patient").loc[values.index]
    values = values.sub(values.mean(axis=1), axis=0)  # a gene that takes many reads lowers all others
    correlation = {name: values.corrwith(scores[name]) for name in scores}
    for name, genes in sets.items():
        assert len(set(genes)) == len(genes)
        assert set(genes) <= set(values.columns)
        assert 20 <= len(genes) <= 40
        follows, carriers = truth["gene_sets"][name]["follows"], truth["gene_sets"][name]["n_carriers"]
        for score in scores:
            mean = correlation[score][genes].mean()
            if score == follows:
                assert mean > (0.02 if score == "site" else 0.1), (name, score)
            elif not (score in planted_names() and follows in planted_names()):
                assert abs(mean) < 0.15, (name, score)
        if name.startswith("PLANTED"):
            assert carriers == round(0.6 * len(genes)), "the others carry nothing: a set is no list of the truth"
    sizes = sorted(len(sets[name]) for name in planted)
    assert sorted(len(genes) for name, genes in sets.items() if name.startswith("DECOY_RANDOM")) == sizes


def planted_names() -> set[str]:
    return {subtype.name for subtype in draws.SUBTYPES}


def test_sets_are_of_the_population_and_of_the_null_follow_no_subtype(null, tmp_path):
    few = simulate(tmp_path / "few", **{**SIZES, "n_patients": 5})
    more = simulate(tmp_path / "more", **{**SIZES, "n_patients": 9, "n_cpgs": 10})
    assert few["sets"].read_bytes() == more["sets"].read_bytes()
    truth = json.loads((null["truth"] / "truth.json").read_text())
    assert {one["follows"] for one in truth["gene_sets"].values()} == {
        "resistance", "differentiation", "expression_only", "site", None,
    }  # fmt: skip


def test_relapse_factor_is_independent_of_subtype_and_subtypes_have_their_mutations():
    cohort = draws.draw(draws.Population(7, 10, 10, False), 3000)
    means = cohort.patients.resistance.groupby(cohort.patients.subtype).mean()
    errors = 1 / np.sqrt(cohort.patients.subtype.value_counts().sort_index())
    assert (means.abs() < 4 * errors).all()
    chosen = cohort.patients.subtype.map(lambda index: draws.SUBTYPES[index].name)
    maf, sequenced = module._mutations(draws.Population(7, 10, 10, False), cohort)
    maf = maf[maf.Variant_Classification != "Silent"]
    at_diagnosis = [barcode for barcode in sequenced if tissue(barcode) == "09A"]
    subtype = chosen.set_axis(cohort.ids)[[patient(barcode) for barcode in at_diagnosis]]
    mutated = np.isin(at_diagnosis, maf.Tumor_Sample_Barcode[maf.Hugo_Symbol == "IKZF1"])
    assert mutated[subtype == "BCR::ABL1"].mean() == pytest.approx(0.70, abs=0.12)
    assert mutated[subtype == "ETV6::RUNX1"].mean() == pytest.approx(0.02, abs=0.03)
    resistance = cohort.patients.resistance.set_axis(cohort.ids)[subtype.index].to_numpy()
    mutated = np.isin(at_diagnosis, maf.Tumor_Sample_Barcode[maf.Hugo_Symbol == "NT5C2"])
    assert resistance[mutated].mean() > 0.3


def test_null_has_neither_subtypes_nor_effects(null):
    truth = read_table(null["truth"] / "patients.tsv")
    factors = read_table(null["truth"] / "factors.tsv")
    clinical = read_table(null["clinical"]).set_index("patient_id")
    assert set(truth.subtype) == {"none"}
    assert truth.linear_predictor.eq(0).all()
    assert truth.relapse_risk_5y.nunique() == 1
    assert factors[[subtype.name for subtype in draws.SUBTYPES]].eq(0).all(axis=None)
    assert factors.resistance.std() > 0.8, "the layers still have factors"
    scores = components(null)
    labels = KMeans(len(draws.SUBTYPES), n_init=10, random_state=0).fit_predict(scores)
    assert adjusted_rand_score(clinical.clinical_subtype[scores.index].fillna(""), labels) < 0.05
    summary = json.loads((null["truth"] / "truth.json").read_text())
    assert summary["null"] is True
    assert not any(summary["log_hazard_ratios"].values())


# --- behaviour ----------------------------------------------------------------------------------------------------


def test_folder_appears_whole_or_not_at_all(tmp_path):
    target, seen = tmp_path / "cohort", []

    def watch(done: int, total: int) -> None:
        seen.append((done, total))
        assert not target.exists()

    simulate(target, n_patients=10, n_cpgs=5000, n_genes=30, progress=watch)
    assert seen == [(1, 3), (2, 3), (3, 3)]

    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "other", n_patients=10, n_cpgs=30, n_genes=30, progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


def test_existing_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    simulate(tmp_path / "empty", n_patients=5, n_cpgs=5, n_genes=5)
    with pytest.raises(UsageError, match="not empty"):
        simulate(tmp_path / "empty", n_patients=5, n_cpgs=5, n_genes=5)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError):
        simulate(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("wrong", [{"n_patients": 0}, {"n_cpgs": -1}, {"n_genes": 0}, {"seed": -1}])
def test_sizes_out_of_range_are_refused_by_name(tmp_path, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        simulate(tmp_path / "cohort", **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_memory_is_that_of_a_block(tmp_path):
    code = (
        "import pathlib, sys; from omics.simulate import simulate\n"
        "simulate(sys.argv[1], n_patients=3000, n_cpgs=int(sys.argv[2]), n_genes=100)\n"
        # not getrusage: that would start from what the process of the tests holds
        "print(pathlib.Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    peaks = []
    for n_cpgs in (8_192, 40_960):
        command = [sys.executable, "-c", code, str(tmp_path / str(n_cpgs)), str(n_cpgs)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < 1.1 * peaks[0]
    assert max(peaks) < 2**20  # kB
