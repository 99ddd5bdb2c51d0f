"""Key figures of every artefact, for people and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import xarray as xr

from omics import cohort
from omics.artefact import read_manifest, read_run, verify
from omics.schema import EVENT_CODES, view_names
from pipelines import summary_subtypes
from pipelines.tables import Row as Figures
from pipelines.tables import records


def show(path: Path, *, as_json: bool = False) -> None:
    """Print what an artefact is, and its key figures, to stdout."""
    figures = summarise(path)
    if as_json:
        click.echo(json.dumps(figures, indent=1, allow_nan=False))
        return
    click.echo(f"{path}: {figures.pop('noun')}")
    for name in ("digest", "inputs", "parameters", "created"):
        figures.pop(name)
    click.echo("\n".join(_lines(figures, "  ")))


def summarise(path: Path) -> Figures:
    """What an artefact is: ``noun``, ``digest``, ``inputs``, ``parameters``, ``created``, and its key figures.

    Raises
    ------
    UsageError
        There is nothing at `path`.
    IntegrityError
        It is no finished artefact, or damaged.
    """
    manifest = read_manifest(path)
    figures: Figures = {"noun": manifest["noun"], "created": read_run(path)["created"]}
    figures.update({key: manifest[key] for key in ("digest", "inputs", "parameters")})
    try:
        stored = manifest["noun"] in _FIGURES
        figures.update(_FIGURES[manifest["noun"]](cohort.open(path)) if stored else _tables(path))
    except ValueError:  # of zarr, where a chunk does not have its checksum; hashes name the file
        verify(path, hashes=True)
        raise
    return _without_nan(figures)


def _cohort(tree: xr.DataTree) -> Figures:
    views = {name: cohort.node(tree, f"views/{name}") for name in view_names(tree)}
    have = {name: set(view.indexes["sample"]) for name, view in views.items()}
    shared = {" & ".join(pair): len(have[pair[0]] & have[pair[1]]) for pair in combinations(have, 2)}
    clinical = cohort.clinical_table(tree)
    figures: Figures = {
        "samples": len(cohort.samples(tree)),
        "clinical": len(clinical),
        "views": {
            name: {
                "samples": view.sizes["sample"],
                "features": view.sizes["feature"],
                "kind": view.attrs["kind"],
                "units": view.attrs["units"],
            }
            for name, view in views.items()
        },
        "overlap": {**shared, "all": len(set.intersection(*have.values()))},
    }
    if "event" in clinical:
        counts = clinical["event"].value_counts()
        figures["events"] = {name: int(counts.get(code, 0)) for code, name in EVENT_CODES.items()}
        figures["events"]["unknown"] = int(clinical["event"].isna().sum())
    if "relapse" in clinical:
        figures["relapses"] = int((clinical["relapse"] == 1).sum())
    return figures


def _factors(tree: xr.DataTree) -> Figures:
    variance, restarts = cohort.node(tree, "variance"), records(tree, "restarts")
    by_factor = variance["r2"].transpose("factor", "view").to_series().unstack("view").reset_index()
    active = (variance["active"] == 1 if "active" in variance else (variance["r2"] > 0).any("view")).to_numpy()
    bounds = [-math.inf if math.isnan(restart["elbo"]) else restart["elbo"] for restart in restarts]
    best = restarts[bounds.index(max(bounds))]
    figures: Figures = {
        "samples": tree["factors"].sizes["sample"],
        "engine": json.loads(tree.attrs["mofa"]).get("engine"),
        "n_factors": tree["factors"].sizes["factor"],
        "active": int(active.sum()),
        "best_elbo": best["elbo"],
        "iterations": best["iterations"],
        "converged": bool(best["converged"]),
        "restarts": restarts,
        "r2": variance["r2_total"].to_series().to_dict(),
    }
    figures |= _by_number(restarts) | _repeated(variance, active) | _groups(tree)
    return {**figures, "r2_by_factor": by_factor.to_dict("records")}


def _by_number(restarts: list[Figures]) -> Figures:
    """The best bound by number of factors, where fits have several."""
    table = pd.DataFrame(restarts)
    if "n_factors" not in table or table["n_factors"].nunique() < 2:
        return {}
    by_number = table.groupby("n_factors")["elbo"].agg(fits="size", best_elbo="max", worst_elbo="min")
    return {"elbo_by_number": by_number.reset_index().to_dict("records")}


def _repeated(variance: xr.Dataset, active: np.ndarray) -> Figures:
    """How well other restarts found the active factors; nothing where there was no other of as many factors."""
    if "stability" not in variance or not variance["stability"].notnull()[active].any():
        return {}
    weakest, mean = (variance[name].to_numpy()[active] for name in ("stability_min", "stability"))
    return {"stability": {"min": float(weakest.min()), "mean": float(mean.mean())}}


def _groups(tree: xr.DataTree) -> Figures:
    """Patients by group, where there are several."""
    factors = cohort.node(tree, "factors")
    sizes = factors["group"].to_series().value_counts().sort_index().to_dict() if "group" in factors else {}
    return {"groups": sizes} if len(sizes) > 1 else {}


def _evaluation(tree: xr.DataTree) -> Figures:
    if "class_metrics" in tree.children:
        attrs = {str(name): value for name, value in tree.attrs.items()}
        return attrs | {name: records(tree, name) for name in ("class_metrics", "class_recall")}
    return {
        **_planning(tree),
        **{str(name): value for name, value in tree.attrs.items()},
        "failed_fits": int(cohort.to_table(cohort.node(tree, "folds"))["error"].notna().sum()),
        "metrics": records(tree, "metrics"),
        "differences": records(tree, "differences"),
        **{name: records(tree, name) for name in ("permutations", "audit") if name in tree.children},
    }


def _planning(tree: xr.DataTree) -> Figures:
    """Sample size first: below Riley's minimum all that follows is descriptive."""
    rows = records(tree, "planning")
    short = [row for row in rows if not row["enough"]]
    verdict = (
        "fewer patients than Riley's criteria ask for: read what follows as description, not as evidence"
        if short
        else "as many patients as Riley's criteria ask for"
    )
    return {"sample_size": rows, "verdict": verdict}


def _model(tree: xr.DataTree) -> Figures:
    return {"card": json.loads(tree.attrs["card"])}


#: Rows of a table of an interpretation that are shown.
_SHOWN = 10
#: Tables of an interpretation whose rows are hypotheses, sorted by p-value or rank.
_TESTS = (
    "associations", "factor_sets", "subtype_sets", "ranked_sets", "cpg_sets", "concordance", "gene_pairs",
    "mutation_subtypes", "mutation_relapse", "evolution_genes", "evolution_unpaired",
)  # fmt: skip


def _interpretation(tree: xr.DataTree) -> Figures:
    tables = {name: records(tree, name) for name in tree.children if name not in ("clinical", "differential")}
    tests = {name: tables[name] for name in _TESTS if name in tables}
    found = {
        name: sum(row["q_value"] is not None and row["q_value"] <= 0.05 for row in rows) for name, rows in tests.items()
    }
    first = {
        name: [row for row in rows if row["rank"] <= 3] for name, rows in tables.items() if name == "factor_features"
    }
    return {
        "note": "for research only; leads to be looked into, no advice on treatment",
        "rows": {name: len(tables[name]) for name in sorted(tables)},
        "q_below_0.05": found,
        **first,
        **{name: sorted(rows, key=lambda row: row["p_value"])[:_SHOWN] for name, rows in tests.items()},
    }


def _tables(folder: Path) -> Figures:
    """Names of the tables that were exported."""
    return {"tables": sorted(path.name for path in folder.glob("*.tsv"))}


_FIGURES: Mapping[str, Callable[[xr.DataTree], Figures]] = {
    "cohort": _cohort,
    "prepared": _cohort,
    "factors": _factors,
    "subtypes": summary_subtypes.subtypes,
    "replication": summary_subtypes.replication,
    "interpretation": _interpretation,
    "evaluation": _evaluation,
    "model": _model,
}


#: Characters of a text within a table.
_WIDEST = 40


def _without_nan(value: Any) -> Any:
    """JSON values: NaN becomes None, NumPy's numbers Python's."""
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(figures: Figures, indent: str) -> list[str]:
    """Nested figures as indented lines; a list of records as a table, its long texts as notes below."""
    lines = []
    for name, value in figures.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{indent}{name}:", *(f"{indent}  {line}" for line in _table_lines(pd.DataFrame(value)))]
        elif isinstance(value, list) and value:
            lines += [f"{indent}{name}:", *(f"{indent}  {one}" for one in value)]
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            lines.append(f"{indent}{name}: {'-' if shown is None else shown}")
    return lines


def _table_lines(table: pd.DataFrame) -> list[str]:
    """Aligned columns; a text that would tear them apart is a number in brackets, and stands below."""
    notes: dict[str, int] = {}

    def short(value: Any) -> Any:
        if not isinstance(value, str) or len(value) <= _WIDEST:
            return value
        return f"[{notes.setdefault(value, len(notes) + 1)}]"

    shown = table.map(short).to_string(index=False, float_format=lambda number: f"{number:.4g}")
    return [*shown.splitlines(), *(f"[{number}] {text}" for text, number in notes.items())]
