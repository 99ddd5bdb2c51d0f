"""The step ``interpret``: what factors and subtypes mean, in genes, gene sets, mutations, and what could be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

import numpy as np
import pandas as pd
import xarray as xr

from omics import cohort, interpret, outcome
from omics import read as reading
from omics.columns import MOST_LEVELS
from omics.factors import MOFA
from omics.schema import DataError, UsageError, describe, view_names
from pipelines import clusters, config, interpretation_mutations, own_files
from pipelines.console import say

Tables = dict[str, pd.DataFrame]

#: Share of the CpGs, those of the largest weights, that stand for a factor; and at most for a subtype.
LEADING_CPGS = 0.05
#: Differences of a subtype count below this q-value.
LEVEL = 0.05
#: Clinical columns that may name a fusion.
FUSIONS = ("subtype", "fusion", "cytogenetic_code")
#: Name of the subtypes among what factors are compared with.
_FOUND = "subtypes found"
#: Fewest patients with an event, and without, between whom mutations are compared.
FEWEST = 5


@dataclass(frozen=True)
class Given:
    """What is interpreted.

    Attributes
    ----------
    model : xarray.DataTree
        Of ``omics factors``.
    prepared : xarray.DataTree
        The cohort from which the factors were learnt.
    labels : pandas.Series or None
        Subtype of each patient.
    settings : Interpret
        What is asked for.
    seed : int
        Seed of permutations.
    """

    model: xr.DataTree
    prepared: xr.DataTree
    labels: pd.Series | None
    settings: config.Interpret
    seed: int

    @cached_property
    def clinical(self) -> pd.DataFrame:
        """Clinical table."""
        return cohort.clinical_table(self.prepared)

    @cached_property
    def ready(self) -> xr.DataTree:
        """The layers as the factors saw them."""
        return clusters.ready(self.model, self.prepared)

    @cached_property
    def mofa(self) -> MOFA:
        """The factor model, with the factors that explain something."""
        return MOFA.from_tree(self.model)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Scores of the factors that explain something, (sample, factor)."""
        active = self.mofa.variance_["active"].to_numpy() == 1
        return clusters.table_of(self.mofa.factors_["score"].isel(factor=active).compute())

    @cached_property
    def sets(self) -> dict[str, list[str]]:
        """Gene sets of all files."""
        found: dict[str, list[str]] = {}
        for path in self.settings.sets or ():
            for name, genes in interpret.read_gmt(path).items():
                if name in found:
                    raise DataError(f"the gene set '{name}' is in two files", where=str(path), fix="rename one of them")
                found[name] = genes
        return found

    @cached_property
    def calls(self) -> pd.DataFrame | None:
        """Calls of the patients of the cohort, or what stands for them where there is but a matrix."""
        if self.settings.mutations is not None:
            known = [str(name) for name in cohort.samples(self.prepared)]
            how = {"timepoint": self.settings.timepoint, "on_duplicate": self.settings.on_duplicate}
            return reading.read_calls(self.settings.mutations, known, **how)
        if self.mutated is None:
            return None
        hit = self.mutated.stack()
        carried = hit.index[(hit > 0).to_numpy()]
        return pd.DataFrame({
            "sample": carried.get_level_values(0).astype(object),
            "gene": carried.get_level_values(1).astype(object),
            "classification": np.full(len(carried), "mutation", dtype=object),
        })  # fmt: skip

    @cached_property
    def mutated(self) -> pd.DataFrame | None:
        """1 where a patient carries a mutation of a gene, (sample, gene)."""
        return self.of_kind("mutation")

    @cached_property
    def sequenced(self) -> list[str]:
        """Patients who were sequenced."""
        table, calls = self.mutated, self.calls
        found = table.index if table is not None else pd.Index([] if calls is None else calls["sample"].unique())
        return [str(name) for name in found]

    def of_kind(self, kind: str) -> pd.DataFrame | None:
        """Values of the first layer of a kind, columns by gene; None where there is no such layer."""
        name = next(iter(self.named(kind)), None)
        if name is None:
            return None
        view = cohort.node(self.prepared, f"views/{name}")
        return clusters.table_of(view["value"].compute()).set_axis(genes_of(view).to_numpy(), axis=1)

    def named(self, kind: str) -> list[str]:
        """Names of the layers of a kind."""
        names = view_names(self.prepared)
        return [name for name in names if cohort.node(self.prepared, f"views/{name}").attrs.get("kind") == kind]

    def values(self, name: str) -> xr.DataArray:
        """All features of a layer, before filters that learn, lazy, with their genes."""
        view = cohort.node(self.prepared, f"views/{name}")
        value = view["value"]
        return value.assign_coords(gene=("feature", genes_of(view).to_numpy())) if "gene" not in value.coords else value

    def knowledge(self, name: str) -> pd.DataFrame:
        """A knowledge table with the user's rows."""
        return interpret.table(name, [path for path in self.settings.tables or () if own_files.form_of(path) == name])


def interpreted(given: Given, germline: pd.DataFrame | None = None) -> xr.DataTree:
    """All tables, and ``/differential/<layer>`` of each layer of numbers."""
    own_files.check_adjustment(given.settings.adjust, given.clinical, given.labels)
    differences = _differential(given, given.labels) if _several(given.labels) else {}
    tables = (
        _factors(given)
        | _subtypes(given, differences)
        | _gene_sets(given, differences)
        | _mutations(given)
        | interpretation_mutations.evolution(given.calls, given.sequenced, given.settings)
        | _views(given, germline)
    )
    nodes = {f"/{name}": describe(cohort.from_table(table), name) for name, table in tables.items() if len(table)}
    nodes |= {f"/differential/{name}": describe(one, "differential") for name, one in differences.items()}
    return xr.DataTree.from_dict(nodes)


def groups_of(clinical: pd.DataFrame, column: str | None) -> pd.Series | None:
    """Levels of a clinical column as groups, each named by both; None where no column is asked for.

    Raises
    ------
    UsageError
        There is no such column, or it does not have 2 to :data:`~omics.columns.MOST_LEVELS` levels.
    """
    if column is None:
        return None
    if column not in clinical:
        raise UsageError(f"no clinical column {column}", where="--groups", fix=own_files.there_are(clinical))
    known = clinical[column].dropna()
    number = pd.api.types.is_numeric_dtype(known)
    text = known.map("{:g}".format) if number else known.astype(str)
    if not 2 <= text.nunique() <= MOST_LEVELS:
        raise UsageError(
            f"{column} has {text.nunique()} values",
            where="--groups",
            fix=f"name a column of 2 to {MOST_LEVELS} levels",
        )
    return (f"{column} " + text).rename("label")


def genes_of(view: xr.Dataset) -> pd.Series:
    """Symbols of each feature; of a layer of genes that knows none, the features themselves."""
    features = view.indexes["feature"]
    if "gene" in view.coords:
        gene = view["gene"].to_series()
        return gene.where(gene.notna(), "").astype(object)
    by_gene = view.attrs.get("kind") in ("expression", "mutation", "copy_number")
    return pd.Series(features.to_numpy() if by_gene else "", features, dtype=object)


def _several(labels: pd.Series | None) -> TypeGuard[pd.Series]:
    return labels is not None and labels.nunique() > 1


# --- factors and subtypes ---------------------------------------------------------------------------------------------


def _factors(given: Given) -> Tables:
    """What leads each factor, and what goes with it."""
    fitted, active = given.mofa, list(given.scores.columns)
    values = {name: cohort.node(given.ready, f"views/{name}")["value"] for name in view_names(given.ready)}
    weights = {name: one.sel(factor=active) for name, one in fitted.weights_.items()}
    restarts = fitted.restart_scores_
    features = interpret.leading_features(
        weights,
        values,
        fitted.factors_.sel(factor=active),
        None if restarts is None else restarts.sel(factor=active),
        given.settings.n_features,
    )
    return {
        "factor_features": features,
        "associations": interpret.associations(
            given.scores, given.clinical, _beside(given), _regressions(given), _circular(given)
        ),
    }


def _beside(given: Given) -> dict[str, pd.Series]:
    """What factors are compared with besides the clinical table: mutated genes, missing layers, subtypes."""
    genes = clusters.mutations(given.prepared)
    found = {str(name): genes[name] for name in genes}
    for name in view_names(given.prepared):
        here = given.scores.index.isin(cohort.node(given.prepared, f"views/{name}").indexes["sample"])
        if not here.all():
            found[f"has {name}"] = pd.Series(here, given.scores.index)
    return found if given.labels is None else {**found, _FOUND: given.labels}


def _circular(given: Given) -> set[str]:
    """What the factors were learnt from, or was made of them: subtypes found, genes and presence of the model's layers.

    Groups are of the clinic, not found.
    """
    layers = [name for name in view_names(given.prepared) if name in given.mofa.weights_]
    found = {f"has {name}" for name in layers}
    for name in given.named("mutation"):
        if name in layers:
            found.update(f"{gene} mutation" for gene in given.values(name).indexes["feature"])
    return found if given.settings.groups else {*found, _FOUND}


def _regressions(given: Given) -> dict[str, Callable[[pd.Series], tuple[float, float, float, float, int, int]]]:
    """Cox regression of each end point on a score, of the cause where others compete."""
    found = {}
    for name in outcome.supported(given.clinical):
        table = outcome.endpoint(given.clinical, name)
        if (table["event"] == 1).any():
            found[f"time to {name.replace('_', ' ')}"] = _regression(table)
    return found


def _regression(table: pd.DataFrame) -> Callable[[pd.Series], tuple[float, float, float, float, int, int]]:
    def fitted(score: pd.Series) -> tuple[float, float, float, float, int, int]:
        rows = table.loc[table.index.isin(score.index)]
        found = outcome.cox(
            rows["time"], rows["event"], score.loc[rows.index].to_frame("score"), cause=1, entry=rows["entry"]
        )
        one = found.table.iloc[0]
        return one["hazard_ratio"], one["lower"], one["upper"], one["p_value"], found.n, found.events

    return fitted


def _differential(given: Given, labels: pd.Series) -> dict[str, xr.Dataset]:
    """Differences of every feature of the layers of numbers, by subtype."""
    columns = given.settings.adjust
    beside = given.clinical[list(columns)] if columns else None
    return {
        name: interpret.differential(given.values(name), labels, beside)
        for name in view_names(given.prepared)
        if cohort.node(given.prepared, f"views/{name}").attrs.get("likelihood") == "gaussian"
    }


def _subtypes(given: Given, differences: Mapping[str, xr.Dataset]) -> Tables:
    rows = [
        interpret.most_different(one, given.settings.n_features).assign(layer=name) for name, one in differences.items()
    ]
    found = {"subtype_features": pd.concat(rows, ignore_index=True)} if rows else {}
    first = [next((name for name in given.named(kind) if name in differences), None) for kind in _PAIR]
    if all(first) and given.labels is not None:
        methylation, expression = (str(name) for name in first)
        found["concordance"] = interpret.concordant_pairs(
            given.values(methylation),
            given.values(expression),
            given.labels,
            differences[methylation],
            differences[expression],
            level=LEVEL,
        )
    return found


_PAIR = ("methylation", "expression")


# --- gene sets ------------------------------------------------------------------------------------------------------


def _gene_sets(given: Given, differences: Mapping[str, xr.Dataset]) -> Tables:
    """Sets by factor and by subtype: of expressed genes with their correlations, of CpGs with their numbers."""
    if not given.sets:
        return {}
    found: dict[str, list[pd.DataFrame]] = {}
    for name in _with_sets(given, "expression"):
        for table, rows in _by_expression(given, name).items():
            found.setdefault(table, []).append(rows.assign(layer=name))
        if given.settings.preranked:
            found.setdefault("ranked_sets", []).append(_ranked(given, name, differences.get(name)).assign(layer=name))
    for name in _with_sets(given, "methylation"):
        found.setdefault("cpg_sets", []).append(_by_cpg(given, name, differences.get(name)).assign(layer=name))
    return {name: pd.concat(rows, ignore_index=True) for name, rows in found.items()}


def _with_sets(given: Given, kind: str) -> list[str]:
    """Layers of a kind in which a set of the right size is measured; others are named on stderr."""
    found = []
    for name in given.named(kind):
        gene = genes_of(cohort.node(given.ready, f"views/{name}"))
        known = set(gene.str.split(";").explode())
        sizes = [len(known.intersection(genes)) for genes in given.sets.values()]
        if any(interpret.SMALLEST <= size <= interpret.LARGEST for size in sizes):
            found.append(name)
        else:
            say(
                f"{name}: no gene set has {interpret.SMALLEST} to {interpret.LARGEST} measured genes "
                f"(the largest has {max(sizes)}), so none is tested"
            )
    return found


def _by_expression(given: Given, name: str) -> Tables:
    """Sets that follow a factor, or that a subtype expresses otherwise, by a test that knows of correlated genes."""
    view = cohort.node(given.ready, f"views/{name}")
    values, genes = clusters.table_of(view["value"].compute()), genes_of(view)
    found = {"factor_sets": interpret.factor_enrichment(values, given.scores, genes, given.sets)}
    labels = given.labels
    if _several(labels):
        label = labels[labels.index.isin(values.index)]
        member = pd.get_dummies(label, dtype=float)
        member = member.loc[:, member.sum() >= FEWEST]
        by_subtype = interpret.factor_enrichment(values, member, genes, given.sets)
        found["subtype_sets"] = by_subtype.rename(columns={"factor": "subtype"})
    return found


def _ranked(given: Given, name: str, difference: xr.Dataset | None) -> pd.DataFrame:
    """The same by GSEApy, of genes ranked by weight or by moderated t; a gene has its furthest feature."""
    weights = given.mofa.weights_[name]
    gene = genes_of(cohort.node(given.ready, f"views/{name}"))
    ranks = {str(factor): weights["weight"].sel(factor=factor).to_series() for factor in given.scores}
    if difference is not None:
        names = difference["gene"].to_series()
        gene = pd.concat([gene, names[~names.index.isin(gene.index)]])
        ranks |= {
            str(one): difference["statistic"].sel(subtype=one).to_series() for one in difference["subtype"].values
        }
    rows = []
    for group, rank in ranks.items():
        by_gene = rank.groupby(gene.reindex(rank.index).to_numpy()).agg(lambda one: one.iloc[np.abs(one).argmax()])
        by_gene = by_gene[by_gene.index != ""].dropna().rename(group)
        rows.append(interpret.preranked(by_gene, given.sets, random_state=given.seed))
    return pd.concat(rows, ignore_index=True).rename(columns={"factor": "group"})


def _by_cpg(given: Given, name: str, difference: xr.Dataset | None) -> pd.DataFrame:
    """Sets whose genes the leading CpGs hit, of each factor and subtype."""
    weights = given.mofa.weights_[name]
    gene = genes_of(cohort.node(given.ready, f"views/{name}"))
    n = max(1, round(LEADING_CPGS * len(gene)))
    chosen = {}
    for factor in given.scores:
        size = np.abs(weights["weight"].sel(factor=factor).to_series())
        chosen[str(factor)] = (size.nlargest(n).index, gene)
    if difference is not None:
        every = difference["gene"].to_series()
        for one in difference["subtype"].values:
            q = difference["q_value"].sel(subtype=one).to_series()
            p = difference["p_value"].sel(subtype=one).to_series()
            chosen[str(one)] = (p[q <= LEVEL].nsmallest(max(1, round(LEADING_CPGS * len(every)))).index, every)
    rows = [
        interpret.cpg_enrichment(cpgs, genes, given.sets).assign(group=group)
        for group, (cpgs, genes) in chosen.items()
        if (genes.reindex(cpgs) != "").any()
    ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


# --- mutations ------------------------------------------------------------------------------------------------------


def _mutations(given: Given) -> Tables:
    calls, sequenced = given.calls, given.sequenced
    if calls is None or calls.empty:
        return {}
    drawn = interpret.oncoprint(calls, sequenced, given.labels)
    found = {
        "oncoprint": drawn.cells,
        "oncoprint_genes": drawn.genes,
        "oncoprint_samples": drawn.samples,
        "gene_pairs": interpret.pairs_of_genes(calls, sequenced, seed=given.seed),
    }
    if given.settings.mutations is not None:
        found["burden"] = interpretation_mutations.burden(calls, sequenced, given.settings.megabases)
    labels = given.labels
    if _several(labels):
        found["mutation_subtypes"] = interpret.enriched(calls, sequenced, labels)
    relapsed = interpretation_mutations.relapsed(given.clinical, given.settings.horizon)
    here = relapsed[relapsed.index.isin(sequenced)]
    if here.sum() >= FEWEST and (~here).sum() >= FEWEST:
        found["mutation_relapse"] = interpret.with_event(calls, sequenced, here)
    return found


# --- what could be done ---------------------------------------------------------------------------------------------


def _views(given: Given, germline: pd.DataFrame | None) -> Tables:
    """What may resist, what could be targeted, which antigen is there, and what the germline must be asked."""
    copies, columns = given.of_kind("copy_number"), [name for name in FUSIONS if name in given.clinical]
    fusions = given.clinical[columns] if columns else None
    from_file = given.calls if given.settings.mutations is not None else None
    lesions = interpret.lesions(calls=from_file, mutation_matrix=given.mutated, fusions=fusions, copy_number=copies)
    looked = interpret.measured(
        sequenced=given.sequenced or None, mutation_matrix=given.mutated, fusions=fusions, copy_number=copies
    )
    expression = given.of_kind("expression")
    expression = None if expression is None else _one_a_gene(expression)
    resistance = interpret.resistance_view(lesions, looked, given.labels, given.knowledge("resistance"))
    targets = interpret.targets_view(lesions, looked, given.labels, expression, given.knowledge("targets"))
    antigens = interpret.antigens_view(expression, given.labels, given.knowledge("antigens"))
    found = {
        "lesions": lesions,
        "resistance_patients": resistance.patients,
        "resistance_subtypes": resistance.subtypes,
        "targets_patients": targets.patients,
        "targets_subtypes": targets.subtypes,
        "antigens_patients": antigens.patients,
        "antigens_subtypes": antigens.subtypes,
        "pharmacogenes": interpret.pharmacogenes_view(germline, given.knowledge("pharmacogenes")),
    }
    if copies is not None:
        found["cna_profile"] = interpret.profile(copies, given.knowledge("cna_profile"))
    return found


def _one_a_gene(values: pd.DataFrame) -> pd.DataFrame:
    """Of several features of one gene the one with the largest mean; those without a gene are left out."""
    symbols = pd.Index([interpret.symbol_of(str(name)) for name in values.columns], dtype=object)
    named = values.set_axis(symbols, axis=1).loc[:, symbols != ""]
    order = (-named.mean().to_numpy()).argsort(kind="stable")
    best = named.iloc[:, order]
    return best.loc[:, ~best.columns.duplicated()]
