"""The sections on what was measured and found: cohort, variance, factors, and where it all came from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from omics.cohort import node
from omics.report import figures, patients, reading
from omics.report.content import Cell, Figure, Group, Part, Row, Section, Table
from omics.report.reading import Artefacts
from omics.report.words import MISSING, clean, count, number, percent
from omics.schema import EVENT_CODES, NODES, Variable, view_names

_MAX_LEVELS = 8
_MAX_ROWS = 20
#: A patient who belongs to a subtype with a smaller probability is counted as doubtful.
_SURE = 0.8
#: Counts of the account that are worth a row even where they are 0.
_TELLING_ZERO = frozenset({"kept", "shared", "in all layers"})
_N_LEADING = 5
#: A factor that explains less of a layer than this has no leading features there worth naming.
_MIN_R2 = 0.01


# --- cohort -------------------------------------------------------------------------------------------------------


def cohort_section(artefacts: Artefacts) -> Section | None:
    """Who is in it: layers, overlap, clinical characteristics, the account of what was dropped."""
    tree = artefacts.source
    if tree is None:
        return None
    layers = reading.membership(tree)
    overlap = Figure(
        figures.overlap(layers),
        "Each bar counts the patients who have exactly the layers marked below it; totals by layer in brackets.",
    )
    parts: list[Part] = [*_flow(artefacts), Group([overlap, _layers(tree, artefacts.factors)])]
    if not artefacts.clinical.empty:
        parts.append(_characteristics(artefacts.clinical))
    accounts = [table for table in (_account(tree), _excluded(tree)) if table]
    if accounts:
        parts.append(Group(accounts))
    if artefacts.prepared is not None:
        parts += _recipe(artefacts.prepared)
    lead = "Patients count once in each layer that was measured; nobody is dropped for lacking a layer."
    return Section("cohort", "Cohort and overlap", lead, parts)


def _flow(artefacts: Artefacts) -> list[Figure]:
    """From the samples in the files to the patients with factors, subtypes, and a known outcome."""
    account = reading.frame(artefacts.cohort, "account")
    if account is None:
        account = reading.frame(artefacts.prepared, "account")
    if account is None or not (account["what"] == "kept").any():
        return []
    label, scores = reading.labels(artefacts.subtypes), reading.scores(artefacts.factors)
    steps = [(what, len(rows)) for what, rows in (("with factors", scores), ("with a subtype", label)) if len(rows)]
    followed = artefacts.clinical.get("event", pd.Series(dtype=float)).dropna()
    if len(label) and len(followed):
        steps.append(("with a subtype and a follow-up", int(label.index.isin(followed.index).sum())))
    caption = "Samples of each layer in the files, what was dropped and why, then the patients of the analysis."
    return [Figure(patients.exclusion_flow(account, steps), caption)]


def _layers(tree: xr.DataTree, factors: xr.DataTree | None) -> Table:
    used = {} if factors is None else {v: node(factors, f"views/{v}").sizes["feature"] for v in view_names(factors)}
    rows = []
    for name in view_names(tree):
        view = node(tree, f"views/{name}")
        units = str(view.attrs.get("units", ""))
        kept = f"{used[name]:,}" if name in used else MISSING
        samples, features = view.sizes["sample"], view.sizes["feature"]
        rows.append([clean(name), f"{samples:,}", f"{features:,}", kept, clean(units if units != "1" else "0/1")])
    head = ("Layer", "Patients", "Features", "In the model", "Units")
    return Table("Layers of the cohort", head, "lrrrl", rows)


def _characteristics(clinical: pd.DataFrame) -> Table:
    rows = []
    for variable in NODES["clinical"]:
        if variable.name in clinical and (known := clinical[variable.name].dropna()).size:
            units = "" if variable.units in ("1", "fraction") else f", {variable.units.replace('^9', '⁹')}"
            said = _described(variable, known)
            name = variable.meaning.split(":")[0].removeprefix("1 if ").removesuffix(", else 0")
            rows.append([f"{name[0].upper()}{name[1:]}{units}", said, f"{len(known):,}"])
    note = f"{count(len(clinical), 'patient')} with a clinical row. Numbers: median (minimum to maximum)."
    return Table("Clinical characteristics", ("Characteristic", "Value", "Known"), "llr", rows, note)


def _described(variable: Variable, known: pd.Series) -> str:
    if variable.name == "event":
        counts = known.astype(int).value_counts()
        return "; ".join(f"{word} {counts.get(code, 0):,}" for code, word in EVENT_CODES.items())
    if variable.kind == "text":
        counts = known.astype(str).value_counts().sort_index().sort_values(ascending=False, kind="stable")
        said = [f"{clean(level, 40)} {n:,}" for level, n in counts.iloc[:_MAX_LEVELS].items()]
        more = [f"{count(len(counts) - _MAX_LEVELS, 'other')}"] if len(counts) > _MAX_LEVELS else []
        return "; ".join(said + more)
    if variable.name in ("refractory", "death", "relapse"):
        return f"{int(known.sum()):,} ({percent(known.mean())})"
    digits, scale, unit = (3, 100, "\N{NO-BREAK SPACE}%") if variable.units == "fraction" else (1, 1, "")
    middle, low, high = (number(scale * value, digits) for value in (known.median(), known.min(), known.max()))
    return f"{middle}{unit} ({low} to {high})"


def _account(tree: xr.DataTree) -> Table | None:
    table = reading.frame(tree, "account")
    if table is None:
        return None
    rows = [
        [clean(row.layer), clean(row.what), clean(row.reason), f"{row.samples:,}"]
        for row in reading.records(table.fillna(""))
        if row.samples or row.what in _TELLING_ZERO
    ]
    return Table("Account of the samples", ("Layer", "What", "Reason", "Samples"), "lllr", rows)


def _excluded(tree: xr.DataTree) -> Table | None:
    table = reading.frame(tree, "excluded")
    if table is None:
        return None
    rows = []
    for (layer, reason), part in table.fillna("").groupby(["layer", "reason"], sort=True):
        ids = [clean(sample, 40) for sample in part["sample"].iloc[:3]]
        rows.append([clean(layer), clean(reason), ", ".join(ids) + (", …" if len(part) > 3 else ""), f"{len(part):,}"])
    return Table("What was dropped, and why", ("Layer", "Reason", "For example", "Samples"), "lllr", rows)


def _recipe(prepared: xr.DataTree) -> list[Table]:
    """The steps that learn from the data, which travel unfitted."""
    steps = json.loads(prepared.attrs.get("recipe", "[]"))
    rows = [
        [clean(step["step"]), ", ".join(f"{clean(k)} = {clean(_plain(v), 80)}" for k, v in step.items() if k != "step")]
        for step in steps
    ]
    note = "Fitted on the patients that a model is trained on, and on no others."
    return [Table("Preparation steps that learn from the data", ("Step", "Settings"), "ll", rows, note)] if rows else []


# --- variance and factors -----------------------------------------------------------------------------------------


def variance_section(artefacts: Artefacts) -> Section | None:
    """How much of each layer each factor explains."""
    explained = reading.dataset(artefacts.factors, "variance")
    if explained is None:
        return None
    share = reading.matrix(explained["r2"].transpose("factor", "view"))
    total = explained["r2_total"].to_series()
    strongest = max(float(np.nanmax(share.to_numpy())), 1e-9)
    rows: list[Row] = [
        [clean(factor), *(Cell(number(100 * r2, 1), float(np.clip(np.nan_to_num(r2) / strongest, 0, 1))) for r2 in row)]
        for factor, row in zip(share.index, share.to_numpy(), strict=True)
    ]
    rows.append(["All factors", *(number(100 * r2, 1) for r2 in total.loc[share.columns])])
    table = Table(
        "Variance explained, % of the layer's variance",
        ("Factor", *map(clean, share.columns)),
        "l" + "c" * share.shape[1],
        rows,
        "The darker a cell, the more the factor explains.",
    )
    parts: list[Part] = [Group([table, *_restarts(artefacts.factors)])]
    lead = (
        "A factor is an axis along which patients differ in one or several layers at once. "
        "A row that is dark in one column only is private to that layer; one that is dark in several is shared."
    )
    return Section("variance", "Variance explained", lead, parts)


def factors_section(artefacts: Artefacts) -> Section | None:
    """Where patients lie on the factors, and which features drive each."""
    scores = reading.scores(artefacts.factors)
    if artefacts.factors is None or scores.empty:
        return None
    parts: list[Part] = [Group(_scatters(scores, artefacts.subtypes))]
    leading = _leading(artefacts.factors, [str(factor) for factor in scores.columns])
    if leading:
        parts.append(leading)
    lead = f"{count(scores.shape[1], 'factor')} for {count(len(scores), 'patient')}, sorted by variance explained."
    return Section("factors", "Factors", lead, parts)


def _scatters(scores: pd.DataFrame, subtypes: xr.DataTree | None) -> list[Figure]:
    found = reading.subtype_names(subtypes)
    names = found if len(found) > 1 else []
    label = reading.labels(subtypes).rename("subtype") if names else None
    drawn = []
    for first in range(0, min(4, scores.shape[1] - 1), 2):
        x, y = scores.columns[first : first + 2]
        coloured = ", coloured by subtype" if names else ""
        caption = f"Each mark is a patient: {clean(x)} across, {clean(y)} up{coloured}."
        svg = patients.factor_scatter(scores, x, y, label, name=f"factors-{first + 1}", names=names)
        drawn.append(Figure(svg, caption))
    return drawn


def _leading(tree: xr.DataTree, factors: Sequence[str]) -> Table | None:
    views, explained = view_names(tree), reading.dataset(tree, "variance")
    if not views or explained is None:
        return None
    cells = {view: _leading_cells(tree, view, explained["r2"].sel(view=view).to_numpy()) for view in views}
    rows = [[factor, *(cells[view][k] for view in views)] for k, factor in enumerate(factors)]
    return Table(
        "Leading features of each factor",
        ("Factor", *map(clean, views)),
        "l" * (1 + len(views)),
        rows,
        f"The {_N_LEADING} largest weights; + rises and − falls with the score. "
        f"A dash: the factor explains less than {percent(_MIN_R2)} of the layer.",
    )


def _leading_cells(tree: xr.DataTree, view: str, r2: np.ndarray) -> list[str]:
    signed = "+−"
    return [
        ", ".join(f"{signed[weight < 0]}{clean(name, 36)}" for name, weight in features if weight) or MISSING
        if explained >= _MIN_R2
        else MISSING
        for features, explained in zip(reading.leading_features(tree, view, _N_LEADING), r2, strict=True)
    ]


def _restarts(tree: xr.DataTree | None) -> list[Table]:
    table = reading.frame(tree, "restarts")
    if table is None:
        return []
    best = int(table["elbo"].to_numpy().argmax())
    rows = [
        [f"{i + 1}{' (kept)' if i == best else ''}", clean(row.start), str(row.seed) if row.seed >= 0 else MISSING,
         number(row.elbo, 1),
         f"{row.iterations:,}", "yes" if row.converged else "no"]
        for i, row in enumerate(reading.records(table))
    ]  # fmt: skip
    head = ("Restart", "Start", "Seed", "Evidence lower bound", "Iterations", "Converged")
    return [Table("Restarts of the fit", head, "llrrrl", rows, "The restart with the highest bound is kept.")]


# --- provenance ---------------------------------------------------------------------------------------------------


def provenance_section(manifests: Mapping[str, Mapping[str, Any]]) -> Section | None:
    """What each artefact was made from, and how."""
    if not manifests:
        return None
    rows = []
    for name, manifest in manifests.items():
        inputs = [
            f"{clean(i.get('path', '?'), 80)} ({str(i.get('sha256', ''))[:12]})" for i in manifest.get("inputs", [])
        ]
        settings = [f"{clean(k)} = {clean(_plain(v))}" for k, v in sorted(manifest.get("parameters", {}).items())]
        made = f"{clean(manifest.get('noun', name))}"
        digest = str(manifest.get("digest", ""))[:12] or MISSING
        rows.append([clean(name), made, digest, "; ".join(inputs) or MISSING, "; ".join(settings) or MISSING])
    head = ("Artefact", "Kind", "Digest", "Inputs (sha256)", "Parameters")
    parts: list[Part] = [Table("Artefacts", head, "lllll", rows, "Hashes are shortened to 12 characters.")]
    runs = {name: manifest["run"] for name, manifest in manifests.items() if manifest.get("run")}
    if runs:
        parts.append(_runs(runs))
    lead = "Each artefact carries the hashes of what it was made from; the same content has the same digest."
    return Section("provenance", "Provenance", lead, parts)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _runs(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for name, run in runs.items():
        versions = [f"{clean(k)} {clean(v)}" for k, v in sorted(dict(run.get("versions", {})).items())]
        python = [f"python {clean(run['python'])}"] if run.get("python") else []
        rows.append([clean(name), clean(run.get("created", MISSING)), ", ".join(python + versions) or MISSING])
    return Table("Runs", ("Artefact", "Made", "Versions"), "lll", rows)
