"""The model card of a bundle: what it is for, what it was made of, how well it does, and the TRIPOD+AI items."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from omics import cohort
from omics.artefact import read_manifest
from omics.columns import is_text
from omics.outcome import endpoint_named
from omics.predict.classifier import OutcomeClassifier
from omics.predict.nested import Study
from omics.predict.reference import Reference
from omics.predict.sample_size import minimum_sample_size
from omics.schema import UsageError

INTENDED_USE = (
    "research use only: probability of the outcome for patients like those of the training cohort; "
    "not for treatment decisions"
)
NOT_FOR = (
    "patients flagged as outside of the training cohort; samples of another tissue or timepoint; platforms or units "
    "other than those of the training layers"
)
AUTHOR = "for the author"
_LIBRARIES = ("numpy", "scikit-learn", "scikit-survival", "skops", "zarr")


def of(
    study: Study,
    fitted: OutcomeClassifier,
    reference: Reference,
    layers: Sequence[str],
    parameters: Mapping[str, Any],
    evaluation: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """Content of the card.

    Parameters
    ----------
    study : Study
        Question and patients.
    fitted : OutcomeClassifier
        The trained chain.
    reference : Reference
        Distribution of the predictors.
    layers : sequence of str
        Layers that the model reads.
    parameters : mapping
        Settings of the training.
    evaluation : path, optional
        Evaluation whose figures are quoted.

    Raises
    ------
    UsageError
        The evaluation is of another cohort.
    """
    target = study.target
    known = target.weight > 0
    events = int(target.outcome[known].sum())
    manifest = read_manifest(study.store)
    needed = minimum_sample_size(
        max(fitted.table_.shape[1], 1), float(np.average(target.outcome, weights=target.weight))
    )
    content: dict[str, Any] = {
        **parameters,
        "intended_use": INTENDED_USE,
        "not_for": NOT_FOR,
        "outcome": study.question.meaning,
        "event": endpoint_named(study.question.endpoint).meaning,
        "patients": len(study.samples),
        "known_outcome": int(known.sum()),
        "events": events,
        "predictors": int(fitted.table_.shape[1]),
        "needed": needed,
        "layers": list(layers),
        "columns": list(fitted.columns_),
        "numbers": [name for name in fitted.columns_ if not is_text(study.clinical[name])],
        "texts": reference.texts,
        "scores": reference.scores,
        "chosen": dict(fitted.settings_),
        "prepare": dict(manifest["parameters"]),
        "cohort": manifest["digest"],
        "versions": {name: version(name) for name in _LIBRARIES},
        "performance": [] if evaluation is None else _performance(study, parameters, evaluation),
    }
    content["tripod"] = tripod(content)
    return content


def _performance(
    study: Study, parameters: Mapping[str, Any], evaluation: str | os.PathLike[str]
) -> list[dict[str, Any]]:
    """Figures of the same model on held-out patients of the same cohort."""
    inputs = read_manifest(evaluation)["inputs"]
    if read_manifest(study.store)["digest"] not in [one["sha256"] for one in inputs]:
        raise UsageError(
            "the evaluation is of another cohort", where=str(evaluation), fix="evaluate the cohort that is trained on"
        )
    tree = cohort.open(evaluation, noun="evaluation")
    if tree.attrs.get("question") != study.question.meaning:
        raise UsageError(
            f"the evaluation asks for {tree.attrs.get('question')}, the model for {study.question.meaning}",
            where=str(evaluation),
            fix="evaluate and train with the same endpoint, horizon and landmark",
        )
    table = cohort.to_table(cohort.node(tree, "metrics")).fillna({"representation": ""})
    wanted = "" if parameters["features"] == "clinical" else parameters["representation"]
    same = (table["features"] == parameters["features"]) & (table["model"] == parameters["model"])
    rows = table[same & (table["representation"] == wanted)]
    finite = rows.astype(dict.fromkeys(("estimate", "lower", "upper"), float))
    return [
        {name: (None if isinstance(value, float) and not np.isfinite(value) else value) for name, value in row.items()}
        for row in finite[["metric", "estimate", "lower", "upper", "n", "events"]].to_dict("records")
    ]


def tripod(content: Mapping[str, Any]) -> dict[str, str]:
    """TRIPOD+AI items of the methods and results: filled from the run where it knows, else marked for the author.

    References
    ----------
    Collins et al. BMJ 2024;385:e078378.
    """
    performance = "; ".join(
        f"{row['metric']} {row['estimate']:.3f}"
        + ("" if row["lower"] is None else f" ({row['lower']:.3f} to {row['upper']:.3f})")
        for row in content["performance"]
        if row["estimate"] is not None
    )
    predictors = ", ".join([*content["columns"], *(f"layer {name}" for name in content["layers"])])
    return {
        "1 title": f"Development of a model of {content['outcome']}",
        "3 background and objectives": AUTHOR,
        "4 health inequalities": AUTHOR,
        "5a data: source": f"prepared cohort {content['cohort'][:12]}; its setting is {AUTHOR}",
        "5b data: dates": AUTHOR,
        "6 participants: eligibility": AUTHOR,
        "7 data preparation": f"settings {content['prepare']}; filters, scaling and factors learnt on training rows",
        "8 outcome": f"{content['event']}: {content['outcome']}",
        "9 predictors": predictors,
        "10 sample size": f"{content['known_outcome']} patients of known outcome, {content['events']} events, "
        f"{content['predictors']} candidate predictors; Riley's minimum: {content['needed']}",
        "11 missing data": "layers: integrated over by the factor model; clinical values: median or own category, "
        "learnt on training rows",
        "12 analytical methods": f"model {content['model']} on {content['features']}, settings {content['chosen']} "
        "chosen on inner folds in which all learning steps were refitted; censoring by inverse-probability weights",
        "13 class imbalance": "no resampling and no class weights",
        "14 fairness": AUTHOR,
        "15 model output": "probability of the outcome, with an interval over what is not known of the patient",
        "16 training versus evaluation": "nested cross-validation; a separate cohort is for the author",
        "17 ethical approval": AUTHOR,
        "18 open science": f"versions {content['versions']}",
        "20 participants": f"{content['patients']} patients",
        "21 model development": f"{content['known_outcome']} patients, {content['events']} events",
        "22 model specification": "the bundle itself",
        "23 model performance": performance or f"not quoted: {AUTHOR}",
        "24 model updating": "none",
        "25 interpretation": AUTHOR,
        "26 limitations": AUTHOR,
        "27 usability": content["not_for"],
    }
