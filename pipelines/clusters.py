"""The step ``subtypes``: clusters on factors, what they mean, and whether they come back in another cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.metrics import adjusted_rand_score

from omics import cohort, outcome, predict
from omics import subtypes as clustering
from omics.artefact import digest, read_manifest
from omics.columns import is_numeric
from omics.factors import MOFA
from omics.prepare import Recipe
from omics.schema import DataError, UsageError, describe, view_names
from pipelines import config

#: Cohorts without clusters of a replication.
REPLICATION_NULL = 200
#: Genes that subtypes are compared by: at most, and the share and number of patients in whom each is mutated.
MOST_GENES, LEAST_MUTATED, FEWEST_MUTATED = 40, 0.02, 5
#: Share of the features of each layer from which factors are learnt again, and the last entry of the seed.
FEATURE_SHARE, FEATURE_STREAM = 0.8, 1005
#: Runs with outcomes dealt out anew, of the supervised groups.
PERMUTATIONS = 199


def found(
    model: xr.DataTree,
    settings: config.Subtypes,
    seed: int,
    prepared: xr.DataTree | None = None,
    earlier: xr.DataTree | None = None,
) -> xr.DataTree:
    """Subtypes of the patients of a factor model, with all tables on what they mean.

    Parameters
    ----------
    model : xarray.DataTree
        Of ``omics factors``.
    settings : Subtypes
        What is asked for.
    seed : int
        Seed.
    prepared : xarray.DataTree or None
        The cohort from which the factors were learnt: for algorithms that fuse layers, markers, and missing layers.
    earlier : xarray.DataTree or None
        Subtypes of an earlier run, whose names are kept for those that are the same.

    Raises
    ------
    UsageError
        A setting needs the prepared cohort or a clinical column that is not there.
    DataError
        All factors are constant or excluded, or the relapse groups that are asked for cannot be sought.
    """
    clinical = cohort.clinical_table(model)
    outcome.covariates_of(clinical, settings.covariates)  # refused now, not after the clusters were found
    if settings.relapse_groups:
        predict.relapse_groups_need(clinical.loc[clinical.index.isin(cohort.node(model, "factors").indexes["sample"])])
    layered = ready(model, prepared) if prepared is not None else None
    layers = {} if layered is None else {name: _values(layered, name) for name in view_names(layered)}
    scores, followed = _used(model, clinical, settings)
    active = cohort.node(model, "variance")["active"].to_numpy() == 1
    number = settings.n_subtypes if active.any() else 1  # nothing to tell patients apart: no structure
    clusters = _estimator(settings, settings.algorithm, number, seed).fit(scores, layers=layers)
    clusters.set_params(n_subtypes=settings.n_subtypes)  # what was asked for, as it is read in words
    if earlier is not None:
        before = cohort.node(earlier, "subtypes")["label"].to_series()
        clusters = clusters.renamed(clustering.match(clusters.labels_, before))
    if layered is not None and clusters.n_subtypes_ > 1 and settings.refits:
        clusters = clusters.refound(
            _from_fewer_features(model, layered, clinical, settings, clusters.n_subtypes_, seed)
        )
    labels, tables = clusters.labels_, {"followed": followed}
    here = {name: one.index for name, one in layers.items()}
    lesions = mutations(prepared) if prepared is not None else None
    tables |= meaning(labels, clinical, table_of(scores["score"]), here, lesions, settings.covariates, seed=seed)
    tables |= _solutions(clusters, settings, seed, scores, layers, clinical)
    if layered is not None and clusters.n_subtypes_ > 1:
        markers = clustering.markers(layers, labels)
        tables |= {"markers": _named(markers, layered), "panels": clustering.panels(layers, labels)}
    if settings.relapse_groups:
        tables |= supervised(table_of(scores["score"]), clinical, seed)
    return _with(clusters.to_tree(), tables)


def _estimator(settings: config.Subtypes, algorithm: str, number: int | None, seed: int) -> clustering.Subtypes:
    return clustering.Subtypes(
        algorithm=algorithm,
        n_subtypes=number,
        max_subtypes=settings.max_subtypes,
        n_resamples=settings.resamples,
        n_null=settings.null_sets,
        random_state=seed,
    )


def _used(model: xr.DataTree, clinical: pd.DataFrame, settings: config.Subtypes) -> tuple[xr.Dataset, pd.DataFrame]:
    """Scores of the factors to cluster on, with what they explain; and which factors follow a column to be excluded.

    Factors are those that explain something; if none does, those that vary at all.
    """
    factors, variance = cohort.node(model, "factors").compute(), cohort.node(model, "variance")
    active = variance["active"].to_numpy() == 1
    chosen = active if active.any() else factors["score"].std("sample").to_numpy() > 0
    if not chosen.any():
        raise DataError(
            "all factors are constant", where="/factors", fix="learn them from other layers or with more features"
        )
    scores = factors.assign(explained=variance["r2"].mean("view")).isel(factor=chosen)
    columns = list(dict.fromkeys(settings.exclude or ()))
    _refuse_excluded(columns, clinical.reindex(scores.indexes["sample"]))
    table = clustering.factor_associations(table_of(scores["score"]), clinical, columns)
    followers = clustering.following(table)
    kept = ~scores.indexes["factor"].isin(followers)
    if not kept.any():
        raise DataError(
            f"every factor follows {', '.join(columns)}", where="/factors", fix="take the batch off in omics prepare"
        )
    return scores.isel(factor=kept), table.assign(excluded=table["factor"].isin(followers).astype(int))


def _refuse_excluded(columns: Sequence[str], clinical: pd.DataFrame) -> None:
    """Refuse columns that factors cannot, or must not, be left out for."""
    absent = sorted(set(columns) - set(clinical.columns))
    if absent:
        raise UsageError(
            f"no clinical column {', '.join(absent)}",
            where="--exclude",
            fix=f"choose from {', '.join(name for name in clinical.columns if not clustering.is_outcome(name))}",
        )
    told = sorted(name for name in columns if clustering.is_outcome(name))
    if told:
        raise UsageError(
            f"{', '.join(told)} is part of the outcome",
            where="--exclude",
            fix="leave it out: subtypes chosen by outcome could not be compared in outcome",
        )
    for name in columns:
        known = clinical[name].dropna()
        if known.nunique() < 2 or (not is_numeric(known) and known.is_unique):
            what = "has a value of its own for every patient" if known.nunique() > 1 else "has no two values"
            raise UsageError(
                f"{name} {what}: no factor can follow it", where="--exclude", fix=f"leave out {name}, or mend the table"
            )


def _from_fewer_features(
    model: xr.DataTree, ready: xr.DataTree, clinical: pd.DataFrame, settings: config.Subtypes, number: int, seed: int
) -> list[pd.Series]:
    """Clusters on factors that are learnt again, each time from another four fifths of the features of each layer."""
    fitted = MOFA.from_tree(model)
    few = {"n_factors": cohort.node(model, "factors").sizes["factor"], "n_restarts": 1, "engine": "stream"}
    layers = {name: _values(ready, name) for name in view_names(ready)}
    found = []
    for run in range(settings.refits):
        rng = np.random.default_rng([seed, run, FEATURE_STREAM])
        kept = {name: _some(table.columns, rng) for name, table in layers.items()}
        part = xr.DataTree.from_dict(
            {one.path: one.to_dataset(inherit=False) for one in ready.subtree}
            | {f"/views/{name}": cohort.node(ready, f"views/{name}").isel(feature=kept[name]) for name in kept}
        )
        again = MOFA(**{**fitted.get_params(), **few, "random_state": seed + run}).fit(part).to_tree()
        scores, _ = _used(again, clinical, settings)
        fewer = {name: table.iloc[:, kept[name]] for name, table in layers.items()}
        made = clustering.Subtypes(
            algorithm=settings.algorithm, n_subtypes=number, n_resamples=2, n_null=1, random_state=seed
        )
        found.append(made.fit(scores, layers=fewer).labels_)
    return found


def _some(features: pd.Index, rng: np.random.Generator) -> np.ndarray:
    """Places of some of the features; the order in which features come must not matter."""
    drawn = rng.permutation(len(features))[: max(1, round(FEATURE_SHARE * len(features)))]
    return np.sort(features.argsort()[drawn])


def ready(model: xr.DataTree, prepared: xr.DataTree) -> xr.DataTree:
    """The layers, prepared as they were for the factors."""
    learnt, here = cohort.node(model, "factors").indexes["sample"], cohort.samples(prepared)
    absent = learnt[~learnt.isin(here)]
    if len(absent):
        raise DataError(
            f"{len(absent)} patients of the factors are not in the prepared cohort, first {absent[0]}",
            where="--prepared",
            fix="give the cohort from which the factors were learnt",
        )
    return Recipe.from_tree(model).transform(prepared)


def _values(ready: xr.DataTree, name: str) -> pd.DataFrame:
    """Values (sample x feature) of a layer."""
    return table_of(cohort.node(ready, f"views/{name}")["value"])


def _named(markers: pd.DataFrame, ready: xr.DataTree) -> pd.DataFrame:
    """Markers with their genes, where the layer knows them."""
    gene = pd.Series("", markers.index, dtype=object)
    for name in view_names(ready):
        view = cohort.node(ready, f"views/{name}")
        if "gene" in view.coords:
            here = markers["layer"] == name
            gene[here] = view["gene"].to_series().reindex(markers.loc[here, "feature"]).fillna("").to_numpy()
    return markers.assign(gene=gene)


def mutations(prepared: xr.DataTree) -> pd.DataFrame:
    """The genes most often mutated, in enough patients, a column of 0 and 1 each; who was not sequenced is absent."""
    views = {name: cohort.node(prepared, f"views/{name}") for name in view_names(prepared)}
    layers = [name for name, view in views.items() if view.attrs.get("kind") == "mutation"]
    columns = []
    for name in layers:
        hit = table_of(views[name]["value"].compute()) > 0
        often = hit.sum().sort_values(ascending=False, kind="stable").head(MOST_GENES)
        kept = often.index[often >= max(LEAST_MUTATED * len(hit), FEWEST_MUTATED)]
        suffix = f" ({name}) mutation" if len(layers) > 1 else " mutation"
        columns.append(hit[kept].astype(float).add_suffix(suffix))
    return pd.concat(columns, axis=1) if columns else pd.DataFrame()


def _apart(lesions: pd.DataFrame, clinical: pd.DataFrame) -> pd.DataFrame:
    """The same where no column has the name of a clinical one."""
    both = map(str, lesions.columns.intersection(clinical.columns))
    taken = {name: f"{name.removesuffix('mutation')}(layer) mutation" for name in both}
    return lesions.rename(columns=taken)


def table_of(values: xr.DataArray) -> pd.DataFrame:
    """Samples in rows."""
    across = next(str(dim) for dim in values.dims if dim != "sample")
    ordered = values.transpose("sample", across)
    return pd.DataFrame(ordered.to_numpy(), ordered.indexes["sample"], ordered.indexes[across])


def meaning(
    labels: pd.Series,
    clinical: pd.DataFrame,
    scores: pd.DataFrame,
    layers: Mapping[str, pd.Index],
    lesions: pd.DataFrame | None = None,
    covariates: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Outcome by subtype, alone and beside what is known; agreement with known labels; a sentence for each."""
    curves, tests = outcome.compare(clinical, labels, random_state=seed)
    known = clinical if lesions is None else clinical.join(_apart(lesions, clinical), how="outer")
    table = clustering.enrichment(labels, known, layers)
    tables = {
        "curves": curves,
        "tests": tests,
        "agreement": clustering.agreement(labels, clinical),
        "enrichment": table,
        "verdicts": clustering.verdicts(labels, known, table, scores),
    }
    if labels.nunique() > 1:
        tables["adjusted_terms"], tables["adjusted_tests"] = outcome.adjusted(clinical, labels, covariates)
    return tables


def _solutions(
    clusters: clustering.Subtypes,
    settings: config.Subtypes,
    seed: int,
    scores: xr.Dataset,
    layers: Mapping[str, pd.DataFrame],
    clinical: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """What other algorithms find, and the tests of outcome corrected over all that were looked at."""
    every = {settings.algorithm: clusters}
    for name in settings.also or ():
        if name not in every:
            every[name] = _estimator(settings, name, settings.n_subtypes, seed).fit(scores, layers=layers)
    rows = [
        {
            "solution": name,
            "n_subtypes": one.n_subtypes_,
            "p_value": one.p_value_,
            "ari": adjusted_rand_score(clusters.labels_, one.labels_),
            "chosen": int(one is clusters),
        }
        for name, one in every.items()
    ]
    tests = outcome.over_solutions(clinical, {name: one.labels_ for name, one in every.items()}, random_state=seed)
    return {"solutions": pd.DataFrame(rows), "solution_tests": tests}


def supervised(scores: pd.DataFrame, clinical: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """Factors that go with relapse and the patients whom they define, tested on held-out patients."""
    patients = scores.index[scores.index.isin(clinical.index)]
    groups = predict.relapse_groups(scores.loc[patients], clinical, n_permutations=PERMUTATIONS, random_state=seed)
    return {
        "relapse_factors": groups.overall,
        "relapse_patients": groups.patients,
        "relapse_tests": groups.tests.assign(verdict=groups.verdict),
    }


def _with(tree: xr.DataTree, tables: Mapping[str, pd.DataFrame]) -> xr.DataTree:
    """A tree with tables as its nodes; one without rows is left out, but for those that every store has."""
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    for name, table in tables.items():
        if len(table) or name in ("curves", "tests", "agreement"):
            nodes[f"/{name}"] = describe(cohort.from_table(table), name)
    return xr.DataTree.from_dict(nodes)


# --- another cohort -------------------------------------------------------------------------------------------------


def replicated(
    reference: Path, factors: Path, new: xr.DataTree, seed: int, covariates: Sequence[str] | None = None
) -> xr.DataTree:
    """Subtypes of a reference in another prepared cohort, whose patients are projected on the reference's factors.

    Parameters
    ----------
    reference : path
        Of ``omics subtypes``.
    factors : path
        The factor model of the reference, of :func:`factors_of`.
    new : xarray.DataTree
        Prepared cohort.
    seed : int
        Seed.
    covariates : sequence of str, optional
        Clinical columns beside which outcome is compared; by default those of the reference that the cohort has.

    Raises
    ------
    UsageError
        A covariate is no clinical column, or part of the outcome.
    """
    clinical = cohort.clinical_table(new)
    if covariates is None:
        before = read_manifest(reference)["parameters"].get("covariates") or ()
        covariates = [name for name in before if name in clinical] or None
    outcome.covariates_of(clinical, covariates)
    known = cohort.open(reference, noun="subtypes")
    model = cohort.open(factors, noun="factors")
    scores = MOFA.from_tree(model).transform(Recipe.from_tree(model).transform(new))
    result = clustering.replicate(
        clustering.Subtypes.from_tree(known), scores, n_null=REPLICATION_NULL, random_state=seed
    )
    label = result.assignment.set_index("sample")["label"]
    assigned = label[label != clustering.UNASSIGNED]
    first = cohort.node(known, "subtypes")["label"].to_series()
    tables = {
        "assignment": result.assignment,
        "replication": result.subtypes,
        "replication_overall": result.overall,
        "moves": clustering.moves(first, label) if first.index.isin(label.index).any() else pd.DataFrame(),
    }
    if assigned.size:
        here = {name: cohort.node(new, f"views/{name}").indexes["sample"] for name in view_names(new)}
        tables |= meaning(assigned, clinical, table_of(scores["score"]), here, mutations(new), covariates, seed=seed)
    return _with(xr.DataTree.from_dict({"/factors": describe(scores, "factors")}), tables)


def factors_of(reference: Path, factors: Path | None) -> Path:
    """The factor model from which subtypes were made: the given one, or that beside them.

    Raises
    ------
    DataError, IntegrityError
        These are no subtypes, they are damaged, or were made from another model.
    UsageError
        None is given, and none is there.
    """
    cohort.open(reference, noun="subtypes", hashes=True)
    made_from = [entry["sha256"] for entry in read_manifest(reference)["inputs"]]
    beside = [reference.parent / entry["path"] for entry in read_manifest(reference)["inputs"]]
    candidates: Sequence[Path] = [factors] if factors else beside
    for path in candidates:
        if path.is_dir() and digest(path) in made_from:
            return path
    if factors:
        raise DataError(
            "these subtypes were not made from this factor model", where=str(factors), fix="give the one they come from"
        )
    raise UsageError(
        "the factor model of the reference is not beside it", where=str(reference), fix="give it with --factors"
    )


def refuse_unused(settings: config.Subtypes, files: Mapping[str, Path | None]) -> None:
    """Refuse settings and files that a replication does not use.

    Raises
    ------
    UsageError
        One was given.
    """
    standard: dict[str, Any] = asdict(config.Subtypes())
    used = {"covariates"}
    given = [name for name, value in asdict(settings).items() if value != standard[name] and name not in used]
    given += [name for name, file in files.items() if file]
    if given:
        raise UsageError(
            f"--{given[0].replace('_', '-')} has no meaning with --reference",
            where="omics subtypes",
            fix="leave it out: the reference fixes how patients are assigned",
        )


def settings_need(settings: config.Subtypes, prepared: Path | None) -> None:
    """Refuse algorithms that fuse layers without layers, and beside factors to be left out, of which they know none.

    Raises
    ------
    UsageError
        The prepared cohort is needed, or columns cannot be excluded.
    """
    names = np.unique([settings.algorithm, *(settings.also or ())])
    fusing = [str(name) for name in names if clustering.ALGORITHMS[str(name)].layers]
    if fusing and prepared is None:
        raise UsageError(
            f"{fusing[0]} fuses layers", where="--algorithm, --also", fix="give them with --prepared PREPARED.zarr"
        )
    if fusing and settings.exclude:
        raise UsageError(
            f"factors that follow {', '.join(settings.exclude)} are left out, and {fusing[0]} clusters on layers, "
            "in which these columns would still tell",
            where="--exclude",
            fix=f"leave out {fusing[0]} or --exclude; omics prepare --batch takes a batch off the layers",
        )
