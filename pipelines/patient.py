"""One page for one patient: what the model predicts, from what, and what the patient's own lesions may mean.

All of it is made from a cohort that was cut to the patient first, so that nothing of another patient can be on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.pipeline import Pipeline

from omics import cohort, interpret, outcome, predict, report
from omics import prepare as preparation
from omics.artefact import read_manifest, read_run
from omics.predict.models import design_table, unseen_texts
from omics.predict.representations import Integration, as_table
from omics.schema import UsageError
from pipelines import config, interpretation, own_files

#: Ids that a message names.
_NAMED = 3
#: Levels of copy number that lesions are read from.
_LEVELS = range(-2, 3)
_NO_LEVELS = "the layer does not hold levels of GISTIC, from -2 to 2"
#: Features that are named for a factor.
_LEADING = 3


def page(model: Path, new: Path, sample: str | None, tables: Sequence[Path] | None) -> str:
    """The HTML page of one patient of a cohort.

    Parameters
    ----------
    model : path
        Trained model.
    new : path
        Cohort, or prepared cohort.
    sample : str, optional
        Which of its patients; needed where it has several.
    tables : sequence of path, optional
        The user's own knowledge tables.

    Raises
    ------
    UsageError
        There are several patients and none is named, or there is none of that name.
    DataError
        A table cannot be read, or the model has no predictor of the patient.
    """
    settings = config.Interpret(tables=None if tables is None else tuple(tables))
    own_files.check(settings)
    tree = cohort.open(new, noun=("cohort", "prepared"), hashes=True)
    chosen = chosen_patient(tree, sample, str(new))
    alone = cohort.select(tree, [chosen])
    bundle = predict.load(model)
    prediction = predict.predict(bundle, alone).iloc[0]
    seen = _seen(bundle, alone)
    content = report.Patient(
        sample=chosen,
        prediction={str(name): value for name, value in prediction.items()},
        subtypes=seen.subtypes,
        predictors=predictors(bundle, seen),
        scale=LINES[bundle.card["model"]].scale if bundle.card["model"] in LINES else "",
        card=bundle.card,
        provenance=_provenance(model, new),
        **_meaning(alone, settings),
    )
    return report.patient_page(content)


def chosen_patient(tree: xr.DataTree, sample: str | None, where: str) -> str:
    """Id of the patient that is asked for.

    Raises
    ------
    UsageError
        There are several patients and none is named, or there is none of that name.
    """
    known = sorted({*map(str, cohort.samples(tree)), *map(str, cohort.clinical_table(tree).index)})
    some = ", ".join(known[:_NAMED]) + (", ..." if len(known) > _NAMED else "")
    if sample is None and len(known) == 1:
        return known[0]
    if sample is None:
        raise UsageError(
            f"there are {len(known)} patients, and the page is of one", where=where, fix=f"give --sample, one of {some}"
        )
    if sample not in known:
        raise UsageError(f"there is no patient '{sample}'", where=where, fix=f"--sample is one of {some}")
    return sample


# --- what the model saw ---------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a model gets of a patient.

    Attributes
    ----------
    row : pandas.DataFrame
        One row of predictors, as the model takes them.
    given : pandas.Series
        Clinical predictors as they stand in the cohort.
    subtypes : pandas.Series
        Probability of each subtype; empty where the model has none.
    """

    row: pd.DataFrame
    given: pd.Series
    subtypes: pd.Series


def _seen(bundle: predict.Bundle, alone: xr.DataTree) -> Seen:
    card = bundle.card
    prepared = alone if "recipe" in alone.attrs else preparation.prepare(alone, mask=card["prepare"].get("mask"))
    clinical = outcome.with_timing(cohort.clinical_table(prepared)).reindex(columns=card["columns"])
    clinical = clinical.astype({name: float if name in card["numbers"] else object for name in clinical})
    scores, chance = None, pd.Series(dtype=float)
    if isinstance(bundle.representation, Integration):
        projected = bundle.representation.project(prepared)
        scores = as_table(projected["score"])
        if bundle.subtypes is not None:
            chance = bundle.subtypes.predict_proba(projected).iloc[0]
    elif bundle.representation is not None:
        scores = bundle.representation.scores(prepared)
    if scores is not None:
        clinical = clinical.reindex(scores.index)
    return Seen(design_table(scores, clinical, card["columns"]), clinical.iloc[0], chance)


class Line(NamedTuple):
    """A model that is a sum over encoded predictors, before its link.

    Attributes
    ----------
    scale : str
        What the sum is.
    weights : callable
        Fitted model and number of encoded predictors -> a weight each.
    """

    scale: str
    weights: Callable[[Any, int], np.ndarray]


def _of_logistic(model: Any, n: int) -> np.ndarray:
    return np.asarray(model.coef_[0])


def _of_coxnet(model: Any, n: int) -> np.ndarray:
    own = model.hazards_[0]
    return np.zeros(n) if own is None else np.asarray(own.coef_)[:, 0]


def _of_fine_gray(model: Any, n: int) -> np.ndarray:
    weights = np.zeros(n)
    weights[model.chosen_] = model.coefficient_
    return weights


#: Name of a model -> its linear predictor; the other models have none.
LINES: Mapping[str, Line] = MappingProxyType({
    "logistic": Line("log-odds", _of_logistic),
    "coxnet": Line("log hazard", _of_coxnet),
    "fine_gray": Line("log subdistribution hazard", _of_fine_gray),
})  # fmt: skip


def predictors(bundle: predict.Bundle, seen: Seen) -> pd.DataFrame:
    r"""What the model saw of a patient, beside the training patients, and what it made of it.

    The linear predictor of an additive model is :math:`\eta = \sum_j f_j(x_j)`; the contribution of predictor j is

    .. math:: c_j = f_j(x_j) - f_j(\bar x_j), \qquad \sum_j c_j = \eta(x) - \eta(\bar x),

    coefficient times (value - training mean) of a number. Of a text, the mean is over the shares of its values in
    training, and a rare one counts there as none. A missing value contributes as what the model puts in its place.

    Parameters
    ----------
    bundle : Bundle
        Trained model.
    seen : Seen
        What it gets of the patient.

    Returns
    -------
    pandas.DataFrame
        One row a predictor: ``predictor``, ``given`` (text: as in the cohort; of a factor, what leads it; or empty),
        ``value`` (as the model takes it; NaN for texts, and where not known), ``mean, median, low, high`` (of the
        training patients, from 2 to 98 per cent), ``below`` (share of the training patients with a smaller value),
        ``share`` (of the training patients with the same text), ``contribution`` (NaN where the model has no linear
        predictor).
    """
    given = {name: "" if pd.isna(said) else _plain(said) for name, said in seen.given.items()} | _leading(bundle)
    rows = [{"predictor": name, "given": given.get(name, "")} for name in map(str, seen.row)]
    told = [_beside(bundle, name, seen.row[name].iloc[0]) for name in map(str, seen.row)]
    table = pd.DataFrame([one | beside for one, beside in zip(rows, told, strict=True)])
    columns = ["predictor", "given", "value", "mean", "median", "low", "high", "below", "share"]
    return table.reindex(columns=columns).assign(contribution=_contributions(bundle, seen.row))


def _beside(bundle: predict.Bundle, name: str, value: Any) -> dict[str, float]:
    """A value beside those of the training patients."""
    if name in bundle.reference.texts:
        return {"share": bundle.reference.texts[name].get(value, np.nan)}
    one = bundle.reference.numbers.sel(predictor=name)
    quantile, level = one["quantile"].to_numpy(), one["level"].to_numpy()
    ends = {"low": quantile[0], "median": np.interp(0.5, level, quantile), "high": quantile[-1]}
    below = np.interp(value, quantile, level) if quantile[0] < quantile[-1] else np.nan
    return {"value": float(value), "mean": float(one["mean"]), **ends, "below": float(below)}


def _leading(bundle: predict.Bundle) -> dict[str, str]:
    """Features of the largest weights of each factor, in the layer of which it explains most."""
    if not isinstance(bundle.representation, Integration):
        return {}
    model, found = bundle.representation.mofa, {}
    for name in bundle.reference.scores:
        layer = str(model.variance_["r2"].sel(factor=name).to_series().idxmax())
        weight = model.weights_[layer]["weight"].sel(factor=name).to_series()
        first = weight.loc[weight.abs().sort_values(ascending=False, kind="stable").index[:_LEADING]]
        found[name] = f"{layer}: " + ", ".join(f"{'−' if one < 0 else '+'}{feature}" for feature, one in first.items())
    return found


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _contributions(bundle: predict.Bundle, row: pd.DataFrame) -> list[float]:
    if bundle.card["model"] not in LINES:
        return [np.nan] * row.shape[1]
    line = LINES[bundle.card["model"]]
    here = _linear(bundle.pipeline, line, row)[0]
    found = []
    for name in row.columns:
        shares = bundle.reference.texts.get(name)
        # a predictor at a time is exact, since none enters together with another
        values, weights = (list(shares), list(shares.values())) if shares else ([_mean(bundle, name)], [1.0])
        others = pd.concat([row] * len(values), ignore_index=True)
        others[name] = pd.Series(values, dtype=others[name].dtype)
        found.append(float(here - np.dot(weights, _linear(bundle.pipeline, line, others))))
    return found


def _mean(bundle: predict.Bundle, name: str) -> float:
    return float(bundle.reference.numbers["mean"].sel(predictor=name))


def _linear(pipeline: Pipeline, line: Line, rows: pd.DataFrame) -> np.ndarray:
    """Linear predictor of rows, without its intercept."""
    with unseen_texts():
        encoded = np.asarray(pipeline["encode"].transform(rows), dtype=float)
    return encoded @ line.weights(pipeline["model"], encoded.shape[1])


# --- what the lesions may mean --------------------------------------------------------------------------------------


def _meaning(alone: xr.DataTree, settings: config.Interpret) -> dict[str, Any]:
    """Lesions of the patient, what they may mean, and where they were looked for."""
    # there is no factor model: what is read here is of the layers and the clinical table
    given = interpretation.Given(xr.DataTree(), alone, None, settings, seed=0)
    mutated, copies = (_of_patient(given.of_kind(kind)) for kind in ("mutation", "copy_number"))
    leveled = copies if copies is not None and (copies.isin(_LEVELS) | copies.isna()).all(axis=None) else None
    columns = [name for name in interpretation.FUSIONS if name in given.clinical and given.clinical[name].notna().any()]
    fusions = given.clinical[columns] if columns else None
    # what the columns name in others is unknown here, so that a class alone, hyperdiploid say, tells of no fusion
    lesions = interpret.lesions(mutation_matrix=mutated, fusions=fusions, copy_number=leveled)
    sequenced = None if mutated is None else mutated.index
    looked = interpret.measured(sequenced=sequenced, mutation_matrix=mutated, fusions=fusions, copy_number=leveled)
    return {
        "lesions": lesions,
        "resistance": interpret.resistance_view(lesions, looked, known=given.knowledge("resistance")).patients,
        "targets": interpret.targets_view(lesions, looked, known=given.knowledge("targets")).patients,
        "pharmacogenes": interpret.pharmacogenes_view(None, given.knowledge("pharmacogenes")),
        "sources": {
            "mutations": _layer(mutated),
            "fusions": _column(given.clinical[columns], not looked["fusion"].columns.empty),
            "copy number": _layer(copies) if copies is None or leveled is not None else (False, _NO_LEVELS),
        },
    }


def _of_patient(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The layer, if the patient has it."""
    return None if table is None or table.empty else table


def _layer(table: pd.DataFrame | None) -> tuple[bool, str]:
    if table is None:
        return False, "no such layer of the patient"
    return True, f"layer of {int(table.notna().sum(axis=1).iloc[0]):,} genes"


def _column(texts: pd.DataFrame, named: bool) -> tuple[bool, str]:
    if texts.empty or not len(texts.columns):
        return False, f"no clinical column {', '.join(interpretation.FUSIONS)}"
    said = "; ".join(f"clinical column {name}: {texts[name].iloc[0]}" for name in texts)
    return named, said if named else f"{said} (names no fusion)"


# --- where it comes from --------------------------------------------------------------------------------------------


def _provenance(model: Path, new: Path) -> list[tuple[str, str]]:
    """Digests and versions; no paths and no settings of the cohort, which may name other patients."""
    manifest, run = read_manifest(model), read_run(model)
    made = [f"{name} {said}" for name, said in sorted({**run["versions"], "python": run["python"]}.items())]
    return [
        ("Model, digest", str(manifest["digest"])),
        *((f"Model, made from {one['path']}", str(one["sha256"])) for one in manifest["inputs"]),
        ("Model, trained with", ", ".join(made)),
        ("Patient's data, digest of the store", str(read_manifest(new)["digest"])),
    ]
