"""Simulated cohorts, and what an interpretation finds of what was planted, for :mod:`benchmarks.interpretation`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from omics import interpret
from omics._simulate_patients import MUTATIONS, PASSENGERS, SUBTYPES
from omics.read import read_calls
from omics.simulate import simulate

#: Patients of the cohort, and all that are drawn: only one in twenty has a sample at relapse.
PATIENTS, DRAWN = 300, 1500
FEATURES = {"n_cpgs": 600, "n_genes": 600}
LEVEL = 0.05
#: Carriers more inside of a subtype than outside from which a driver is asked for: with fewer, chance decides.
CLEAR = 0.15
#: Share of the calls that are missed, and of patients with a call of a passenger that comes and goes.
_MISSED, _FLEETING = 0.15, 0.10
_LEADING_CPGS = 0.05


class Known(NamedTuple):
    """A cohort as it was written, and its truth.

    Attributes
    ----------
    expression, methylation : pandas.DataFrame, shape (sample, feature)
        Logarithms of counts per million, M-values; at diagnosis.
    scores : pandas.DataFrame, shape (sample, score)
        Of subtypes, factors and site.
    subtype : pandas.Series
        Of each patient.
    sets : dict of str to list of str
        As read from the file.
    truth : dict
        ``truth.json``.
    cpg_genes : pandas.Series
        Gene of each CpG, empty where it has none.
    weights : pandas.DataFrame
        ``layer, factor, feature, weight``.
    calls, later : pandas.DataFrame
        Calls at diagnosis and at relapse.
    sequenced, paired : list of str
        Patients sequenced at diagnosis, and at both times.
    """

    expression: pd.DataFrame
    methylation: pd.DataFrame
    scores: pd.DataFrame
    subtype: pd.Series
    sets: dict[str, list[str]]
    truth: dict[str, Any]
    cpg_genes: pd.Series
    weights: pd.DataFrame
    calls: pd.DataFrame
    later: pd.DataFrame
    sequenced: list[str]
    paired: list[str]


class Counted(NamedTuple):
    """Findings of one seed: of what was asked for how many were found, and how many findings are false."""

    asked: int
    found: int
    findings: int
    false: int

    @property
    def power(self) -> float:
        """Share of what was asked for that was found."""
        return self.found / self.asked

    @property
    def fdp(self) -> float:
        """Share of the findings that is false; 0 where there are none."""
        return self.false / max(self.findings, 1)


def planted(seed: int) -> Known:
    """Simulate, and read back."""
    with tempfile.TemporaryDirectory() as folder:
        files = simulate(Path(folder) / "cohort", n_patients=DRAWN, **FEATURES, seed=seed)
        truth = files["truth"]
        patients = pd.read_csv(truth / "patients.tsv", sep="\t", index_col="patient")
        barcodes = pd.Series(files["sequenced"].read_text(encoding="utf-8").split())
        patient, tissue = barcodes.str.rsplit("-", n=2).str[0], barcodes.str.split("-").str[3]
        at_diagnosis = patient[tissue == "09A"]
        first = set(patients.index[:PATIENTS])
        counts = _matrix(files["expression"], first)
        beta = _matrix(files["methylation"], first).clip(1e-3, 1 - 1e-3)
        methylation = np.log2(beta / (1 - beta))
        probes = pd.read_csv(files["probes"], sep="\t", index_col="probe", keep_default_na=False)
        return Known(
            expression=np.log2(counts.div(counts.sum(axis=1), axis=0) * 1e6 + 1),
            methylation=methylation.fillna(methylation.mean()),
            scores=pd.read_csv(truth / "factors.tsv", sep="\t", index_col="patient").iloc[:PATIENTS],
            subtype=patients["subtype"],
            sets=interpret.read_gmt(files["sets"]),
            truth=json.loads((truth / "truth.json").read_text(encoding="utf-8")),
            cpg_genes=probes["gene"],
            weights=pd.read_csv(truth / "weights.tsv", sep="\t"),
            calls=read_calls(files["mutations"]),
            later=read_calls(files["mutations"], timepoint="relapse"),
            sequenced=[name for name in at_diagnosis if name in first],
            paired=sorted(set(at_diagnosis) & set(patient[tissue.isin(["04A", "40A"])])),
        )


def _matrix(file: Path, patients: set[str]) -> pd.DataFrame:
    """Samples of these patients at diagnosis."""
    values = pd.read_csv(
        file, sep="\t", index_col=0, usecols=lambda name: name == "feature" or _at_diagnosis(name, patients)
    )
    return values.T.rename(index=lambda name: name.rsplit("-", 2)[0])


def _at_diagnosis(barcode: str, patients: set[str]) -> bool:
    patient, tissue, _ = barcode.rsplit("-", 2)
    return tissue == "09A" and patient in patients


# --- gene sets ------------------------------------------------------------------------------------------------------


def found_sets(known: Known) -> Counted:
    """Planted sets on the score that they follow; false is a set on a score that has nothing to do with it.

    A patient has one subtype, so that the genes of one fall with every other: that is true, in this direction.
    """
    rows = interpret.factor_enrichment(known.expression, known.scores, _own_genes(known.expression), known.sets)
    subtypes = {subtype.name for subtype in SUBTYPES}
    follows = rows["set"].map({name: one["follows"] for name, one in known.truth["gene_sets"].items()})
    own = follows == rows["factor"]
    rival = ~own & follows.isin(subtypes) & rows["factor"].isin(subtypes)
    true = (own & (rows["direction"] != "down")) | (rival & (rows["direction"] != "up"))
    asked = own & (rows["direction"] == "up") & rows["set"].str.startswith("PLANTED")
    return _counted(rows["q_value"], asked, true)


def _own_genes(values: pd.DataFrame) -> pd.Series:
    return pd.Series(values.columns, values.columns)


def _counted(q: pd.Series, asked: pd.Series, true: pd.Series) -> Counted:
    called = q <= LEVEL
    return Counted(int(asked.sum()), int((asked & called).sum()), int(called.sum()), int((called & ~true).sum()))


def null_sets(known: Known, seed: int) -> np.ndarray:
    """P-values of scores that mean nothing, each on another set, most of which are of genes that rise together."""
    rng = np.random.default_rng([seed, 1])
    names = sorted(known.sets)
    scores = pd.DataFrame(
        rng.standard_normal((len(known.expression), len(names))), index=known.expression.index, columns=names
    )
    rows = interpret.factor_enrichment(known.expression, scores, _own_genes(known.expression), known.sets)
    chosen = rows[(rows["factor"] == rows["set"]) & (rows["direction"] == "two-sided")]
    return chosen["p_value"].to_numpy()


def null_cpgs(known: Known, seed: int) -> np.ndarray:
    """P-values of the leading CpGs of a factor, on sets of genes whose CpGs carry another one.

    Weights are those of all scores at once, by least squares, as a factor model's are.
    """
    rng = np.random.default_rng([seed, 2])
    scores = known.scores.loc[known.methylation.index]
    design = scores.drop(columns=SUBTYPES[0].name).assign(one=1.0)
    fitted = np.linalg.lstsq(design.to_numpy(), known.methylation.to_numpy(), rcond=None)[0]
    weights = pd.DataFrame(np.abs(fitted), design.columns, known.methylation.columns)
    carrying = known.weights[known.weights["layer"] == "methylation"].groupby("factor")["feature"]
    genes = {name: sorted(set(known.cpg_genes[cpgs]) - {""}) for name, cpgs in carrying if name != "site"}
    n = round(_LEADING_CPGS * known.methylation.shape[1])
    p = []
    for factor in ("resistance", "differentiation", "methylation_only"):
        other = str(rng.choice([name for name in genes if name != factor]))
        leading = weights.loc[factor].nlargest(n).index
        p.append(interpret.cpg_enrichment(leading, known.cpg_genes, {other: genes[other]})["p_value"].iloc[0])
    return np.array(p)


# --- mutations ------------------------------------------------------------------------------------------------------


def found_drivers(known: Known) -> Counted:
    """Genes that a subtype carries clearly more; false is a gene that all carry alike, or a wrong direction."""
    calls = known.calls[known.calls["sample"].isin(known.sequenced)]
    rows = interpret.enriched(calls, known.sequenced, known.subtype)
    excess = _excess()
    more = pd.Series([excess.get((one.subtype, one.gene), 0.0) for one in rows.itertuples()], rows.index)
    true = (more != 0) & ((more > 0) == (rows["share_inside"] > rows["share_outside"]))
    asked = sum(value >= CLEAR for value in excess.values())
    return _counted(rows["q_value"], more >= CLEAR, true)._replace(asked=asked)


def _excess() -> dict[tuple[str, str], float]:
    """Share of carriers of a subtype less that of all others, of the genes of which shares differ."""
    share = pd.Series({one.name: one.share for one in SUBTYPES})
    found = {}
    for gene in sorted({gene for genes in MUTATIONS.values() for gene in genes}):
        carried = pd.Series({name: MUTATIONS[name].get(gene, 0.02) for name in share.index})
        others = ((carried * share).sum() - carried * share) / (1 - share)
        found |= {(name, gene): value for name, value in (carried - others).items()}
    return found


def found_gained(known: Known, seed: int) -> Counted:
    """Genes that are gained at relapse, where calls are missed at both times, and those of passengers come and go."""
    rng = np.random.default_rng([seed, 3])
    before, after = (
        _shaken(calls, known.paired, rng).assign(sample=lambda table, time=time: table["sample"] + time)
        for calls, time in ((known.calls, "-early"), (known.later, "-late"))
    )
    patient = pd.Series(known.paired)
    pairs = pd.DataFrame({
        "patient": patient, "diagnosis_sample": patient + "-early", "relapse_sample": patient + "-late"
    })  # fmt: skip
    rows = interpret.evolution(before, after, pairs).genes
    gained = rows["gene"].isin(known.truth["gained_at_relapse"])
    return _counted(rows["q_value"], gained, gained & (rows["gained"] > rows["lost"]))._replace(
        asked=len(known.truth["gained_at_relapse"])
    )


def _shaken(calls: pd.DataFrame, samples: list[str], rng: np.random.Generator) -> pd.DataFrame:
    calls = calls[calls["sample"].isin(samples)]
    kept = calls[rng.random(len(calls)) >= _MISSED]
    fleeting = np.argwhere(rng.random((len(samples), len(PASSENGERS))) < _FLEETING)
    added = pd.DataFrame({
        "sample": [samples[row] for row, _ in fleeting],
        "gene": [PASSENGERS[column].symbol for _, column in fleeting],
        "classification": "Missense_Mutation",
        "start": [PASSENGERS[column].start + 9_000 + turn for turn, (_, column) in enumerate(fleeting)],
    })  # fmt: skip
    return pd.concat([kept, added.astype({"start": "Int64"})], ignore_index=True)


@threadpool_limits.wrap(limits=1)
def trial(seed: int) -> dict[str, Any]:
    """One cohort."""
    known = planted(seed)
    return {
        "seed": seed,
        "sets": found_sets(known),
        "drivers": found_drivers(known),
        "gained": found_gained(known, seed),
        "null_sets": null_sets(known, seed),
        "null_cpgs": null_cpgs(known, seed),
    }
