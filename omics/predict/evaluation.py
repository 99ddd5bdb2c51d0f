"""Judge the prediction of an endpoint on patients who had no part in it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from threadpoolctl import threadpool_limits

from omics import cohort
from omics.columns import is_text
from omics.predict import audit as auditing
from omics.predict import nested, scoring
from omics.predict.learning import Question
from omics.predict.nested import Study, study_of
from omics.predict.sample_size import minimum_sample_size
from omics.predict.splits import Scheme


@threadpool_limits.wrap(limits=1)  # folds run side by side: outermost, so that no fold changes it for another
def evaluate(
    store: str | os.PathLike[str],
    *,
    endpoint: str = "relapse",
    horizon: float = 5.0,
    landmark: float | None = None,
    models: Sequence[str] = ("logistic", "forest"),
    representations: Sequence[str] = ("factors",),
    clinical_variables: Sequence[str] | None = None,
    known_at: Mapping[str, float] | None = None,
    mofa: Mapping[str, Any] | None = None,
    scheme: Scheme | None = None,
    n_permutations: int = 0,
    audit: bool = False,
    scratch: str | os.PathLike[str] | None = None,
    n_bootstrap: int = 2000,
    random_state: int = 0,
) -> xr.DataTree:
    """Predict an endpoint within a horizon by repeated, nested cross-validation.

    In each outer fold the recipe and MOFA are fitted on the training rows, and again inside each inner fold that
    chooses the model's settings. A factor fit serves every model and penalty of its fold.

    Parameters
    ----------
    store : path
        Prepared cohort.
    endpoint : str
        Name in :data:`omics.outcome.ENDPOINTS`.
    horizon : float
        Years from time zero (or the landmark) within which an event counts; patients censored before get weight 0, the
        others inverse-probability-of-censoring weights.
    landmark : float, optional
        Years from time zero at which predictions are made.
    models : sequence of str
        Names in :data:`omics.predict.MODELS`, or ``module:name``. Of several, ``best`` is what the inner folds prefer.
    representations : sequence of str
        Names in :data:`omics.predict.REPRESENTATIONS`, or ``module:name``.
    clinical_variables : sequence of str, optional
        Clinical predictors; by default the standard ones that the cohort has and that are known in time.
    known_at : mapping, optional
        Clinical column -> years from diagnosis at which it is known.
    mofa : mapping, optional
        Parameters of :class:`omics.factors.MOFA`.
    scheme : Scheme, optional
        How patients are held out.
    n_permutations : int
        Runs with permuted outcomes, on the same folds; fits that do not look at the outcome are used again.
    audit : bool
        Prove that nothing leaked, by :func:`omics.predict.audit.audit`: about doubles the time.
    scratch : path, optional
        Folder for the copies of the store that the audit makes, which every worker must reach.
    n_bootstrap : int
        Resamples of patients for the intervals.
    random_state : int
        Seed of the splits, models and resamples.

    Returns
    -------
    xarray.DataTree
        Nodes ``/planning``, ``/predictions``, ``/metrics``, ``/differences``, ``/folds``, ``/clinical``; for endpoints
        with times ``/calibration`` and ``/decision``; with `n_permutations` ``/permutations``; with `audit` ``/audit``
        and ``/seen`` (see :mod:`omics.schema`).

    Raises
    ------
    UsageError
        A name is unknown, settings exclude each other, or a predictor cannot be used.
    DataError
        There is no outcome, or too few patients with one of its values.
    """
    study = study_of(
        store,
        Question(endpoint, horizon, landmark),
        models=models,
        representations=representations,
        clinical_variables=clinical_variables,
        known_at=known_at,
        mofa=mofa,
        scheme=scheme,
        random_state=random_state,
    )
    outer = study.outer()
    fitted = nested.fit_tables(study, outer)
    jobs, held = nested.run(study, outer, fitted)
    predicted = nested.predictions(study, jobs, held)
    figures = scoring.figures(predicted, horizon, n_bootstrap, random_state)
    tables = {
        "planning": planning(study, jobs),
        "predictions": predicted,
        **figures,
        "folds": nested.folds(jobs, held),
    }
    if n_permutations:
        tables["permutations"] = permutations(study, outer, fitted, figures["metrics"], n_permutations)
    if audit:
        tables |= auditing.audit(study, outer, fitted, jobs, held, scratch=scratch)
    return nested.tree_of(_summary(study), tables, cohort.node(cohort.open(store, noun="prepared"), "clinical"))


def planning(study: Study, jobs: Sequence[nested.Job]) -> pd.DataFrame:
    """Patients, events and parameters of each set of predictors, and how many patients Riley's criteria ask for."""
    target = study.target
    known = target.weight > 0
    n, events = int(known.sum()), int(target.outcome[known].sum())
    risk = float(np.average(target.outcome, weights=target.weight))
    rows = []
    for features, representation in dict.fromkeys(
        (j.features, j.representation) for j in jobs if j.model != nested.BEST
    ):
        job = next(j for j in jobs if (j.features, j.representation) == (features, representation))
        parameters = _parameters(study, job)
        needed = minimum_sample_size(max(parameters, 1), risk)
        rows.append(
            {
                "features": features,
                "representation": representation,
                "patients": n,
                "events": events,
                "risk": risk,
                "parameters": parameters,
                "events_per_parameter": events / max(parameters, 1),
                "needed": needed,
                "enough": int(n >= needed),
            }
        )
    return pd.DataFrame(rows)


def _parameters(study: Study, job: nested.Job) -> int:
    """Columns that a model may use in the first outer fold, text counted by its values."""
    whole = job.scores[-1]
    omics = 0 if whole is None or job.features == "clinical" else whole.train.shape[1]
    if job.features == "omics":
        return omics
    rows = study.clinical.reindex(study.samples)[list(study.columns)]
    return omics + sum(max(rows[c].nunique() - 1, 1) if is_text(rows[c]) else 1 for c in rows)


def permutations(
    study: Study,
    outer: Sequence[Any],
    fitted: Sequence[Sequence[Any]],
    metrics: pd.DataFrame,
    n_permutations: int,
) -> pd.DataFrame:
    """AUC where the outcome was dealt out anew, beside the real one: mean, 95 % quantile and p-value of each row.

    ``p = (1 + number as large as the real one) / (1 + permutations)``.
    """
    drawn = []
    for number in range(n_permutations):
        other = nested.permuted(study, study.random_state + 1 + number)
        jobs, held = nested.run(other, outer, nested.refitted(other, outer, fitted))
        predicted = nested.predictions(other, jobs, held)
        drawn.append(scoring.areas(predicted))
    real = metrics[metrics["metric"] == "auc"]
    keys = pd.MultiIndex.from_frame(real[scoring.KEYS])
    null = pd.concat(drawn, axis=1).reindex(keys).to_numpy()  # (row, permutation)
    known = np.isfinite(null).sum(axis=1)
    as_large = (null >= real["estimate"].to_numpy()[:, None]).sum(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row of which every fit failed
        mean, upper = np.nanmean(null, axis=1), np.nanquantile(null, 0.95, axis=1)
    return real[[*scoring.KEYS, "estimate"]].assign(
        null_mean=mean,
        null_upper=upper,
        p_value=np.where(real["estimate"].notna(), (1 + as_large) / (1 + known), np.nan),
        permutations=known,
    )


def _summary(study: Study) -> dict[str, Any]:
    target = study.target
    known = target.weight > 0
    return {
        "endpoint": study.question.endpoint,
        "question": study.question.meaning,
        "horizon": study.question.horizon,
        "landmark": np.nan if study.question.landmark is None else study.question.landmark,
        "patients": len(known),
        "known": int(known.sum()),
        "events": int(target.outcome[known].sum()),
        "clinical_variables": list(study.columns),
        "left_out": [f"{name}: {why}" for name, why in study.left_out.items()],
        "rows": list(study.rows),
        "n_folds": study.scheme.n_folds,
        "n_repeats": study.scheme.n_repeats,
    }
