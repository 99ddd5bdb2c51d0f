"""Over 100 simulated cohorts what was planted is found, false discoveries keep to their rate, and nulls are uniform."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binom, kstest

from benchmarks._interpretation import LEVEL, found_drivers, found_sets, planted, trial
from benchmarks.interpretation import WHAT, p_values, summary
from omics import cohort
from omics.blocks import each
from omics.simulate import CLINICAL_COLUMNS, simulate
from pipelines import cluster, config, steps

SEEDS = 100


@pytest.fixture(scope="module")
def trials() -> list[dict]:
    with cluster.on("local"):
        return each(trial, range(SEEDS))


@pytest.mark.slow
@pytest.mark.parametrize("what", WHAT)
def test_false_discoveries_keep_to_their_rate(trials, what):
    row = summary(trials).loc[what]
    assert row["fdr"] <= LEVEL + 2 * row["error"]


@pytest.mark.slow
def test_what_was_planted_is_found(trials):
    power = summary(trials)["power"]
    assert power["sets"] >= 0.9
    assert power["drivers"] >= 0.7
    assert power["gained"] >= 0.7


@pytest.mark.slow
def test_p_values_of_sets_are_uniform_where_genes_are_correlated(trials):
    p = p_values(trials, "null_sets")
    assert len(p) > 2000
    assert kstest(p, "uniform").pvalue > 0.01
    low, high = binom.interval(0.999, len(p), LEVEL)
    assert low <= (p <= LEVEL).sum() <= high


@pytest.mark.slow
def test_p_values_of_cpgs_are_not_too_small(trials):
    p = p_values(trials, "null_cpgs")
    assert len(p) == 3 * SEEDS
    assert kstest(p, "uniform", alternative="greater").pvalue > 0.01
    assert (p <= 0.5).mean() > 0.25, "conservative, but a test"


def test_planted_sets_and_drivers_of_one_cohort_are_found():
    known = planted(100)
    sets, drivers = found_sets(known), found_drivers(known)
    assert sets.asked == 10
    assert sets.found >= 9
    assert sets.false <= 0.2 * sets.findings
    assert drivers.found >= 0.6 * drivers.asked
    assert drivers.false <= 0.2 * drivers.findings


@pytest.mark.slow
def test_planted_sets_are_found_on_factors_that_are_learnt(tmp_path: Path):
    """As in ``omics demo``: each planted set leads on the factor that has learnt what it follows, and no random one."""
    files = simulate(tmp_path / "data", seed=1)
    raw = {name: files[name] for name in ("methylation", "expression", "mutations", "sequenced", "probes", "clinical")}
    steps.ingest(tmp_path / "cohort.zarr", config.Ingest(**raw), CLINICAL_COLUMNS)
    steps.prepare(tmp_path / "cohort.zarr", tmp_path / "prepared.zarr", config.Prepare(n_features=1000, batch="site"))
    steps.factors(tmp_path / "prepared.zarr", tmp_path / "factors.zarr", config.Factors(n_factors=12), seed=1)
    settings = config.Interpret(
        sets=(files["sets"],), mutations=files["mutations"], relapse_mutations=files["mutations"]
    )
    steps.interpret(
        tmp_path / "factors.zarr",
        tmp_path / "i.zarr",
        settings,
        prepared=tmp_path / "prepared.zarr",
        subtypes=None,
        seed=1,
    )
    tree = cohort.open(tmp_path / "i.zarr", noun="interpretation")
    rows = cohort.to_table(cohort.node(tree, "factor_sets"))
    called = rows[(rows["q_value"] <= LEVEL) & (rows["direction"] == "two-sided")]
    assert not called["set"].str.startswith("DECOY_RANDOM").any()
    learnt = cohort.node(cohort.open(tmp_path / "factors.zarr"), "factors")["score"].to_pandas()
    true = pd.read_csv(files["truth"] / "factors.tsv", sep="\t", index_col="patient")
    truth = json.loads((files["truth"] / "truth.json").read_text(encoding="utf-8"))
    agree = pd.concat([learnt, true], axis=1).corr().abs().loc[learnt.columns, true.columns]
    wanted = {name: one["follows"] for name, one in truth["gene_sets"].items() if name.startswith("PLANTED")}
    clear = {name: agree[follows].idxmax() for name, follows in wanted.items() if agree[follows].max() > 0.9}
    assert len(clear) >= 6
    found = set(zip(called["set"], called["factor"], strict=True))
    assert sum(pair in found for pair in clear.items()) >= len(clear) - 1
    genes = cohort.to_table(cohort.node(tree, "evolution_genes")).set_index("gene")
    assert truth["gained_at_relapse"] == ["NT5C2"]
    assert genes.loc["NT5C2", "gained"] == genes["gained"].sum() > 0
