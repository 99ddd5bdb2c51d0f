"""An interpretation and a replication as the rooms make them, small enough to know every number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from omics.cohort import from_table

FACTORS = ("Factor1", "Factor2", "Factor10")
_KNOWN = {
    "role": "signalling",
    "statement": "It is often there at relapse",
    "evidence": "clinical",
    "reference": "PMID:12345678",
    "origin": "omics",
    "caveat": "One cohort",
}
_APPROVAL = {"status": "approved in ALL", "region": "EU", "status_date": "2024-05"}
_SHARES = ("n_with", "n_to_check", "n_known", "n_with_others", "n_known_others", "share", "share_others",
           "odds_ratio", "p_value", "q_value")  # fmt: skip


def make_interpretation(label: pd.Series, hostile: str = "") -> xr.DataTree:
    """All tables of an interpretation of these patients, with a text in every column of names if asked for."""
    names = sorted(label.unique())
    tables = {**_factors(), **_sets(names), **_mutations(label), **_evolution(label), **_actions(label, names)}
    if hostile:
        tables = {name: _named_badly(table, hostile) for name, table in tables.items()}
    nodes = {f"/{name}": from_table(table) for name, table in tables.items()}
    for layer, n in (("expression", 40), ("methylation", 30)):
        nodes[f"/differential/{layer}"] = _differential(names, layer, n)
    return xr.DataTree.from_dict(nodes)


def _named_badly(table: pd.DataFrame, text: str) -> pd.DataFrame:
    kept = {"test", "kind", "effect_name", "known", "agrees", "altered", "sample", "subtype", "factor", "layer", "gene",
            "classification"}  # fmt: skip
    texts = [str(name) for name, column in table.items() if column.dtype == object and name not in kept]
    found = table.copy()
    for name in texts:
        found[name] = text
    for name in {"sample", "subtype", "factor", "layer", "gene"} & set(table):
        found[name] = [text, *table[name].iloc[1:]]
    return found


def _factors() -> dict[str, pd.DataFrame]:
    features = [
        [factor, layer, f"{layer}{rank}", f"GENE{rank}" if layer == "expression" else "", rank, 1.0 / rank, 0.2 / rank,
         0.5, np.nan if factor == "Factor2" else 0.75]
        for factor in FACTORS
        for layer in ("expression", "methylation")
        for rank in range(1, 13)
    ]  # fmt: skip
    rows = [
        ["Factor1", "time to relapse", "time to event", "cox", "", 178, 2.5, "hazard ratio", 1.8, 3.4, 41, 1e-6, 3e-5],
        ["Factor2", "time to relapse", "time to event", "cox", "", 178, 0.9, "hazard ratio", 0.6, 1.3, 41, 0.5, 0.8],
        ["Factor10", "time to relapse", "time to event", "cox", "", 178, np.nan, "hazard ratio", np.nan, np.nan, 41,
         np.nan, np.nan],
        ["Factor1", "sex", "two levels", "mannwhitney", "male", 180, 0.25, "auc", np.nan, np.nan, -1, 1e-4, 0.002],
        ["Factor2", "age", "number", "spearman", "", 180, 0.4, "correlation", np.nan, np.nan, -1, 0.01, 0.2],
        ["Factor10", "site", "levels", "kruskal", "", 180, 0.05, "epsilon squared", np.nan, np.nan, -1, 0.3, 0.6],
        ["Factor2", "NRAS mutation", "two levels", "mannwhitney", "1", 170, 0.7, "auc", np.nan, np.nan, -1, 0.02, 0.2],
    ]  # fmt: skip
    return {
        "factor_features": pd.DataFrame(
            features,
            columns=["factor", "layer", "feature", "gene", "rank", "weight", "share", "correlation", "stability"],
        ),
        "associations": pd.DataFrame(
            rows,
            columns=["factor", "variable", "kind", "test", "level", "n", "effect", "effect_name", "lower", "upper",
                     "events", "p_value", "q_value"],
        ),
    }  # fmt: skip


def _sets(names: Sequence[str]) -> dict[str, pd.DataFrame]:
    columns = ["layer", "set", "direction", "n_genes", "statistic", "p_value", "q_value", "leading"]
    rows = [
        ["expression", f"SET_{i}", "two-sided", 20, 5.0 - i, 10.0 ** (i - 6), 10.0 ** (i - 5), "G1;G2"]
        for i in range(6)
    ]
    table = pd.DataFrame(rows, columns=columns)
    hit = ["group", "layer", "set", "n_genes", "n_hit", "expected", "p_value", "q_value"]
    cpgs = pd.DataFrame([["Factor1", "methylation", "SET_0", 30, 12, 4.5, 1e-4, 1e-3]], columns=hit)
    differences = [[name, "expression", f"expression{rank}", f"GENE{rank}", rank, 2.0, 9.0 - rank, 1e-8, 1e-6]
                   for name in names for rank in (1, 2)]  # fmt: skip
    pairs = [["GENE1", "cg1", "GENE1", names[0], -1.5, 2.5, 150, -0.6, -0.4, 1e-6, 1e-4, "opposite"]]
    return {
        "factor_sets": table.assign(factor="Factor1"),
        "subtype_sets": table.assign(subtype=names[0], q_value=0.9),
        "ranked_sets": table.assign(group="Factor1"),
        "cpg_sets": cpgs,
        "subtype_features": pd.DataFrame(
            differences,
            columns=["subtype", "layer", "feature", "gene", "rank", "difference", "statistic", "p_value", "q_value"],
        ),
        "concordance": pd.DataFrame(
            pairs,
            columns=["gene", "cpg", "feature", "subtype", "difference_methylation", "difference_expression", "n", "r",
                     "r_within", "p_value", "q_value", "direction"],
        ),
    }  # fmt: skip


def _differential(names: Sequence[str], layer: str, n: int) -> xr.Dataset:
    rng = np.random.default_rng(n)
    p = rng.uniform(0, 0.2, (len(names), n))
    dims = ("subtype", "feature")
    values = {"difference": rng.normal(size=p.shape), "statistic": rng.normal(size=p.shape), "p_value": p,
              "q_value": np.minimum(1, 3 * p), "mean_inside": p, "mean_outside": p}  # fmt: skip
    return xr.Dataset(
        {**{name: (dims, one) for name, one in values.items()}, "n": ("subtype", np.full(len(names), 45)),
         "prior_df": 4.0, "prior_variance": 1.0, "gene": ("feature", np.array([f"GENE{j}" for j in range(n)], object))},
        {"subtype": np.array(names, object), "feature": np.array([f"{layer}{j}" for j in range(n)], object)},
    )  # fmt: skip


def _mutations(label: pd.Series) -> dict[str, pd.DataFrame]:
    samples = [str(name) for name in label.index[:60]]
    genes = [f"M{i}" for i in range(4)]
    carried = [(gene, sample) for i, gene in enumerate(genes) for sample in samples[i :: 5 + i]]
    cells = pd.DataFrame(carried, columns=["gene", "sample"])
    cells = cells.assign(subtype=label[cells["sample"]].to_numpy(), classification="Missense_Mutation", n_calls=1)
    drawn = [[gene, (n := int((cells["gene"] == gene).sum())), 60, n / 60, n] for gene in genes]
    tests = ["n_inside", "n_cluster", "n_mutated", "n", "share_inside", "share_outside", "effect", "p_value", "q_value"]
    against = [5, 20, 7, 60, 0.25, 0.05, np.inf, 0.004, 0.02]
    burden = [[name, 10 + i, 4, 0.3, 0.1, 0.4, np.nan if i == 0 else 20.0] for i, name in enumerate(samples)]
    return {
        "oncoprint": cells,
        "oncoprint_genes": pd.DataFrame(drawn, columns=["gene", "n_mutated", "n", "share", "n_calls"]),
        "oncoprint_samples": pd.DataFrame({"sample": samples, "subtype": label[samples].to_numpy(), "n_calls": 2}),
        "burden": pd.DataFrame(
            burden,
            columns=["sample", "n", "n_non_silent", "per_megabase", "non_silent_per_megabase", "median_vaf", "math"],
        ),
        "gene_pairs": pd.DataFrame(
            [["M0", "M1", 60, 12, 10, 6, 2.0, 1.5, 0.001, 0.004, 2.5, "together", 0.002, 0.99, 0.004, 0.01]],
            columns=["gene_a", "gene_b", "n", "n_a", "n_b", "n_both", "expected", "log_odds", "p_fisher", "q_fisher",
                     "expected_by_burden", "direction", "p_together", "p_apart", "p_value", "q_value"],
        ),
        "mutation_subtypes": pd.DataFrame([[label.iloc[0], "M0", *against]], columns=["subtype", "gene", *tests]),
        "mutation_relapse": pd.DataFrame([["M1", *against]], columns=["gene", *tests]),
        "cna_profile": pd.DataFrame(
            [[name, "IKZF1", "yes" if i < 15 else "no" if i < 50 else "", "measured" if i < 50 else "not measured"]
             for i, name in enumerate(samples)],
            columns=["sample", "region", "altered", "known"],
        ),
        "lesions": pd.DataFrame(
            [[samples[0], "M0", "mutation", "p.G12D", "Missense_Mutation", "calls"]],
            columns=["sample", "gene", "lesion", "detail", "classification", "source"],
        ),
    }  # fmt: skip


def _evolution(label: pd.Series) -> dict[str, pd.DataFrame]:
    return {
        "evolution_genes": pd.DataFrame(
            [["NT5C2", 20, 0, 7, 0, 0, 7, 0, 0.016, 0.03]],
            columns=["gene", "n", "n_diagnosis", "n_relapse", "kept", "lost", "gained", "replaced", "p_value",
                     "q_value"],
        ),
        "evolution_patients": pd.DataFrame(
            [[str(label.index[0]), "NT5C2", "gained", 0.0]], columns=["patient", "gene", "status", "n_shared"]
        ),
        "evolution_unpaired": pd.DataFrame(
            [["TP53", 3, 60, 9, 40, 0.05, 0.225, 5.5, 0.01, 0.04]],
            columns=["gene", "n_diagnosis", "diagnosis", "n_relapse", "relapse", "share_diagnosis", "share_relapse",
                     "effect", "p_value", "q_value"],
        ),
    }  # fmt: skip


def _actions(label: pd.Series, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Of resistance: one lesion that is meant, one to be checked, one that is not, two patients not looked at."""
    who = [str(name) for name in label.index[:5]]
    agrees, known = ["yes", "to be checked", "no", "", ""], ["measured"] * 3 + ["not measured"] * 2
    lesion = {"subtype": label[who].to_numpy(), "lesion": "mutation", "agrees": agrees, "known": known, **_KNOWN}
    detail = ["p.R238W", "p.K359Q", "p.SILLY1", "", ""]
    resist = pd.DataFrame({"sample": who, "gene": "NT5C2", "detail": detail, "drug": "thiopurines",
                           "alteration": "mutation", **lesion})  # fmt: skip
    target = pd.DataFrame({"sample": who, "gene": "NRAS", "detail": ["p.G12D", "p.Q61K", "p.SILLY2", "", ""],
                           "target": "MAP2K1", "indication": "mutated NRAS", "agents": "trametinib", **lesion,
                           **_APPROVAL, "percentile": [91.0, 40.0, 10.0, 55.0, np.nan]})  # fmt: skip
    counts = [[2, 1, 30, 3, 120, 2 / 30, 3 / 120, 2.8, 0.2, 0.4], [0, 0, 30, 5, 120, 0.0, 5 / 120, 0.0, 0.5, 0.7],
              [14, 3, 30, 2, 120, 14 / 30, 2 / 120, np.inf, 1e-7, 1e-6]]  # fmt: skip
    shares = pd.DataFrame(counts, columns=_SHARES).assign(subtype=[*names, *names, *names][:3], lesion="mutation",
                                                          known="measured")  # fmt: skip
    return {
        "resistance_patients": resist,
        "resistance_subtypes": shares.assign(gene=["NT5C2", "FPGS", "NSD2"], drug="thiopurines"),
        "targets_patients": target,
        "targets_subtypes": shares.assign(target="MAP2K1", indication="mutated NRAS", agents="trametinib"),
        **_antigens(label, names),
        "pharmacogenes": pd.DataFrame([{
            "sample": "", "drug": "mercaptopurine", "toxicity": "myelosuppression", "gene": "TPMT", "variant": "*3A",
            "found": "", "agrees": "", "requires": "germline only", "cpic": "guideline", **_KNOWN,
            "known": "not measured",
        }]),
    }  # fmt: skip


def _antigens(label: pd.Series, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    therapy = {"modality": "CAR-T", "agents": "tisagenlecleucel", "escape": "loss of the antigen",
               "confirm": "flow cytometry", **_APPROVAL, **_KNOWN}  # fmt: skip
    rows = [
        {"subtype": name, "gene": gene, "antigen": antigen, "n": 40 * measured,
         "median_percentile": 80.0 if measured else np.nan, "share_above_median": 0.7, "share_low": 0.05, "spread": 0.8,
         "bimodality": 0.4, "bimodality_cohort": 0.5, "known": "measured" if measured else "not measured", **therapy}
        for name in names
        for gene, antigen, measured in (("CD19", "CD19", True), ("MS4A1", "CD20", False))
    ]  # fmt: skip
    patients = [
        {"sample": str(sample), "subtype": label[sample], "gene": gene, "antigen": antigen, "low": "no",
         "percentile": 73.0 if measured and i else np.nan, "confirm": "flow cytometry",
         "known": "measured" if measured and i else "not measured"}
        for i, sample in enumerate(label.index[:4])
        for gene, antigen, measured in (("CD19", "CD19", True), ("MS4A1", "CD20", False))
    ]  # fmt: skip
    return {"antigens_subtypes": pd.DataFrame(rows), "antigens_patients": pd.DataFrame(patients)}


def make_replication(subtypes: xr.DataTree, names: Sequence[str]) -> xr.DataTree:
    """Of four subtypes two are found again, one is not, one cannot be judged; outcome as in the reference."""
    replicates = [1, 1, 0, -1][: len(names)]
    share = subtypes["subtypes/label"].to_series().value_counts(normalize=True).reindex(names).to_numpy()
    table = pd.DataFrame({
        "subtype": names, "n": 30, "assigned": [28, 27, 12, 2][: len(names)], "unassigned": 0.1,
        "share_reference": share, "share": 0.3,
         "share_p_value": 0.4, "distance": 2.5, "in_group": 0.9, "p_value": 0.01, "p_permuted": 0.02,
        "prediction_strength": 0.9, "replicates": replicates, "verdict": "said",
    })  # fmt: skip
    overall = {"n": 120, "n_unassigned": 9, "n_outside": 6, "n_ambiguous": 3, "n_compared": 100, "own_subtypes": 5,
               "ari": 0.81, "prediction_strength": 0.6, "note": ""}  # fmt: skip
    moves = pd.DataFrame({"from": [names[0]], "to": [names[-1]], "n": [3], "patients": ["P1, P2, P3"], "stayed": [0.5]})
    nodes = {"/replication": from_table(table), "/replication_overall": from_table(pd.DataFrame([overall])),
             "/moves": from_table(moves), "/adjusted_terms": from_table(make_terms(names))}  # fmt: skip
    nodes |= {f"/{name}": subtypes[name].to_dataset() for name in ("curves", "tests", "verdicts") if name in subtypes}
    return xr.DataTree.from_dict(nodes)


def make_terms(names: Sequence[str]) -> pd.DataFrame:
    """Hazard ratios of the subtypes, alone and beside covariates; two are not estimable."""
    columns = [
        "endpoint",
        "model",
        "adjusted",
        "term",
        "group",
        "hazard_ratio",
        "lower",
        "upper",
        "p_value",
        "n",
        "events",
    ]
    rows = [
        ["relapse", "fine_gray", adjusted, "group", name, 1.0 + i, np.nan if i == 0 else 0.5 + i,
         np.nan if i == 0 else 2.0 + i, np.nan if i == 0 else 0.03, 40, 10]
        for adjusted in (0, 1)
        for i, name in enumerate(names)
    ]  # fmt: skip
    rows.append(["relapse", "fine_gray", 1, "mrd", "", 2.2, 1.1, 4.4, 0.02, 150, 40])
    rows.append(["relapse", "fine_gray", 1, "risk", "High", 1.5e11, 1e-9, np.inf, 0.99, 60, 0])
    rows.append(["relapse", "fine_gray", 1, "risk", "Low", 1.5e-11, 0.0, 1e200, 0.99, 60, 0])
    return pd.DataFrame(rows, columns=columns)
