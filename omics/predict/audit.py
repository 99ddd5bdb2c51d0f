"""Prove, for the very run, that nothing leaked.

Three proofs. The trace: which rows each step was given, and that no held-out row is among them. The noise: the values,
clinical data and outcome of the held-out rows are replaced in a copy of the store, everything is fitted again with the
same folds, and all that was learnt must be the same to the last bit. The permutation: with outcomes dealt out anew, in
a copy of the store too, nothing can be predicted. So a step that reads the store behind the program's back is caught as
well: it meets the noise, and the dealt-out outcomes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import t as student

from omics import cohort
from omics.artefact import Provenance, read_manifest
from omics.outcome import OUTCOME_COLUMNS
from omics.predict import nested, scoring
from omics.predict.nested import BEST, Held, Job, Study
from omics.predict.representations import FoldTables
from omics.predict.splits import OuterFold

#: An AUC this close to 0.5 on average is none, however little it varies.
_NEAR = 0.05
_LEVEL = 0.0005


def audit(
    study: Study,
    outer: Sequence[OuterFold],
    fitted: Sequence[Sequence[FoldTables]],
    jobs: Sequence[Job],
    held: Sequence[Held],
    *,
    n_permutations: int = 5,
    scratch: str | os.PathLike[str] | None = None,
) -> dict[str, pd.DataFrame]:
    """Check a run that has ended.

    Parameters
    ----------
    study : Study
        What was asked.
    outer : sequence of OuterFold
        Who was held out.
    fitted : sequence of sequence of FoldTables
        What was fitted in each outer fold.
    jobs, held : sequence
        Models, and what they found.
    n_permutations : int
        Runs with outcomes dealt out anew.
    scratch : path, optional
        Folder for copies of the store, which every worker must reach; by default that of temporary files.

    Returns
    -------
    dict
        ``audit`` (check, what, passed, detail) and ``seen`` (rows that each step saw).
    """
    trace = trace_of(outer, fitted, jobs, held)
    rows = [_refusals(study), _samples(study), _traced(trace)]
    with tempfile.TemporaryDirectory(prefix=".audit-", dir=scratch) as folder:
        for part, of_fold in zip(outer, fitted, strict=True):
            found = [(j, h) for j, h in zip(jobs, held, strict=True) if _is_of(j, part)]
            rows.append(_noise(study, part, of_fold, found, Path(folder)))
        rows += _permuted(study, outer, fitted, n_permutations, Path(folder))
    return {"audit": pd.DataFrame(rows), "seen": trace}


def _is_of(job: Job, part: OuterFold) -> bool:
    return job.model != BEST and (job.outer.repeat, job.outer.fold) == (part.repeat, part.fold)


def failures(table: pd.DataFrame) -> list[str]:
    """What did not pass, in words."""
    failed = table[table["passed"] == 0]
    return [f"{check}: {detail}" for check, detail in zip(failed["check"], failed["detail"], strict=True)]


# --- what each step saw ---------------------------------------------------------------------------------------------


def trace_of(
    outer: Sequence[OuterFold], fitted: Sequence[Sequence[FoldTables]], jobs: Sequence[Job], held: Sequence[Held]
) -> pd.DataFrame:
    """Rows that each step of each split was given, and how many of them were held out from it."""
    rows = []
    for part, of_fold in zip(outer, fitted, strict=True):
        splits = [*part.inner, (part.train, part.held_out)]
        names = [f"inner {i}" for i in range(len(part.inner))] + ["outer"]
        for name, (_, inner_away), one in zip(names, splits, of_fold, strict=True):
            away = np.union1d(inner_away, part.held_out)  # what the outer fold holds out, its inner folds do too
            step = "filters, scaling, " + ", ".join(one.tables)
            rows.append(_seen(part, name, step, one.seen, away))
    for job, result in zip(jobs, held, strict=True):
        if job.model != BEST and not result.error:
            step = f"{job.model} on {job.features} {job.representation}".strip()
            rows.append(_seen(job.outer, "outer", step, result.seen, job.outer.held_out))
    return pd.DataFrame(rows)


def _seen(part: OuterFold, split: str, step: str, seen: np.ndarray, away: np.ndarray) -> dict[str, Any]:
    return {
        "repeat": part.repeat,
        "fold": part.fold,
        "split": split,
        "step": step,
        "rows": len(seen),
        "held_out_rows": len(np.intersect1d(seen.astype(str), np.asarray(away).astype(str))),
    }


def _traced(trace: pd.DataFrame) -> dict[str, Any]:
    leaks = trace[trace["held_out_rows"] > 0]
    said = f"{len(trace)} steps, none saw a held-out row"
    if len(leaks):
        first = leaks.iloc[0]
        said = f"'{first['step']}' in fold {first['fold']} saw {first['held_out_rows']} held-out rows"
    return _row("trace", "rows that each step was given", leaks.empty, said)


# --- noise ------------------------------------------------------------------------------------------------------------


def _noise(
    study: Study,
    part: OuterFold,
    of_fold: Sequence[FoldTables],
    found: Sequence[tuple[Job, Held]],
    folder: Path,
) -> dict[str, Any]:
    """Fit one outer fold again with its held-out rows replaced, and compare every digest."""
    store = folder / f"noise-{part.repeat}-{part.fold}.zarr"
    tree = with_noise(cohort.open(study.store, noun="prepared"), part.held_out, seed=study.random_state + part.fold)
    cohort.save(tree, store, Provenance("prepared", dict(read_manifest(study.store)["parameters"])))
    clinical = study.clinical.copy()
    replaced = cohort.clinical_table(cohort.open(store)).reindex(part.held_out)
    for name in replaced.columns.intersection(clinical.columns):
        column = clinical[name].copy()
        column.loc[part.held_out] = replaced[name]
        clinical[name] = column
    noisy = replace(study, store=store, clinical=clinical)
    tables = nested.fit_tables(noisy, [part])
    _, held = nested.run(noisy, [part], tables)
    changed = [
        f"representation {name}"
        for one, other in zip(of_fold, tables[0], strict=True)
        for name in one.digests
        if one.digests[name] != other.digests.get(name)
    ]
    changed += [
        f"{job.model} on {job.features}"
        for (job, before), after in zip(found, held, strict=False)
        if before.digest != after.digest
    ]
    compared = sum(len(one.digests) for one in of_fold) + len(found)
    said = f"{compared} fitted states, all the same to the last bit"
    if changed:
        said = f"{len(changed)} of {compared} fitted states changed: {', '.join(dict.fromkeys(changed))}"
    return _row("noise", f"held-out rows of fold {part.fold}, repeat {part.repeat} replaced", not changed, said)


def with_noise(tree: xr.DataTree, rows: Sequence[str] | np.ndarray, *, seed: int) -> xr.DataTree:
    """The cohort with the values, clinical data and outcome of `rows` replaced; lazy where it is lazy.

    Parameters
    ----------
    tree : DataTree
        Prepared cohort.
    rows : sequence of str
        Ids of the patients.
    seed : int
        Seed of the noise.
    """
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    for path, data in nodes.items():
        if path.startswith("/views/"):
            nodes[path] = _noisy_view(data, rows, seed)
        elif path == "/clinical":
            nodes[path] = _noisy_clinical(data, rows, seed)
    return xr.DataTree.from_dict(nodes)


def _noisy_view(view: xr.Dataset, rows: Sequence[str] | np.ndarray, seed: int) -> xr.Dataset:
    value = view["value"].transpose("sample", "feature")
    values = da.asarray(value.data)
    random = da.random.RandomState(seed)
    if view.attrs.get("likelihood") == "bernoulli":
        noise = random.randint(0, 2, size=values.shape, chunks=values.chunks)
    elif view.attrs.get("likelihood") == "poisson":
        noise = random.poisson(3.0, size=values.shape, chunks=values.chunks)
    else:
        noise = random.normal(0.0, 3.0, size=values.shape, chunks=values.chunks)
    hit = np.isin(view.indexes["sample"].astype(str), np.asarray(rows).astype(str))
    mixed = da.where(hit[:, None], noise.astype(values.dtype), values)
    return view.assign(value=(value.dims, mixed, value.attrs))


def _noisy_clinical(clinical: xr.Dataset, rows: Sequence[str] | np.ndarray, seed: int) -> xr.Dataset:
    """Outcome of somebody else, as a whole so that it stays possible; every other variable drawn by itself."""
    rng = np.random.default_rng(seed)
    table = cohort.to_table(clinical)
    hit = table.index.isin(np.asarray(rows).astype(object))
    everyone = np.arange(len(table))
    donor = np.where(hit, rng.permutation(everyone), everyone)
    for name in table.columns:
        own = donor if name in (*OUTCOME_COLUMNS, "refractory") else np.where(hit, rng.permutation(everyone), everyone)
        values = table[name].to_numpy()[own].copy()
        if values.dtype.kind == "f" and name not in (*OUTCOME_COLUMNS, "refractory"):
            values[hit] += rng.normal(size=int(hit.sum())) * (np.nanstd(values) or 1.0)
        table[name] = values
    return cohort.from_table(table, "sample").assign_attrs(clinical.attrs)


# --- permuted outcomes -----------------------------------------------------------------------------------------------


def _permuted(
    study: Study,
    outer: Sequence[OuterFold],
    fitted: Sequence[Sequence[FoldTables]],
    n_permutations: int,
    folder: Path,
) -> list[dict[str, Any]]:
    drawn = []
    for number in range(n_permutations):
        other = nested.permuted(study, study.random_state + 1 + number)
        store = folder / f"permuted-{number}.zarr"
        _save_with_clinical(other, store)
        other = replace(other, store=store)
        jobs, held = nested.run(other, outer, nested.refitted(other, outer, fitted))
        drawn.append(scoring.areas(nested.predictions(other, jobs, held)))
    table = pd.concat(drawn, axis=1).T  # (permutation, row)
    rows = []
    for key, areas in table.items():
        known = areas.dropna().to_numpy(float)
        if len(known) < 2:
            continue
        mean, spread = known.mean(), known.std(ddof=1) / np.sqrt(len(known))
        width = max(_NEAR, float(student.isf(_LEVEL, len(known) - 1) * spread))
        said = f"mean AUC {mean:.3f} over {len(known)} runs, 0.5 within {width:.2f} expected"
        what = " ".join(filter(None, map(str, key if isinstance(key, tuple) else (key,))))
        rows.append(_row("permutation", what, abs(mean - 0.5) <= width, said))
    return rows


def _save_with_clinical(study: Study, store: Path) -> None:
    """A copy of the study's store with its clinical table."""
    tree = cohort.open(study.store, noun="prepared")
    nodes = {part.path: part.to_dataset(inherit=False) for part in tree.subtree}
    columns = list(cohort.clinical_table(tree).columns)
    clinical = cohort.from_table(study.clinical[columns], "sample").assign_attrs(nodes["/clinical"].attrs)
    nodes["/clinical"] = clinical
    provenance = Provenance("prepared", dict(read_manifest(study.store)["parameters"]))
    cohort.save(xr.DataTree.from_dict(nodes), store, provenance)


# --- refusals ---------------------------------------------------------------------------------------------------------


def _refusals(study: Study) -> dict[str, Any]:
    used = ", ".join(study.columns) or "none"
    refused = "; ".join(f"'{name}' {why}" for name, why in study.left_out.items())
    said = f"used: {used}" + (f"; refused: {refused}" if refused else "")
    return _row("predictors", "each is known when the prediction is made, none copies the outcome", True, said)


def _samples(study: Study) -> dict[str, Any]:
    clinical = cohort.node(cohort.open(study.store, noun="prepared"), "clinical")
    timepoint = str(clinical.attrs.get("timepoint", "diagnosis"))
    return _row("samples", "taken before the prediction is made", True, f"timepoint of the layers: {timepoint}")


def _row(check: str, what: str, passed: bool, detail: str) -> dict[str, Any]:
    return {"check": check, "what": what, "passed": int(passed), "detail": detail}
