r"""The subtype of a patient of another cohort, or that he is in none, by his scores and how uncertain they are.

A patient who lacks layers has uncertain scores, and scores that are drawn towards 0, the mean of the factor model's
prior. With all layers his scores would come from subtype k as :math:`N(\mu_k, \Sigma)`; as it is, in standardised
factors and with the zero of the factor model at :math:`o`, they are taken to come from

.. math:: N(m_{ik}, V_i), \qquad m_{ikf} = o_f + \rho_{if} (\mu_{kf} - o_f), \qquad
          V_{ifg} = \rho_{if} \rho_{ig} \Sigma_{fg} + \delta_{fg} u_{if}^2, \qquad u_{if} = s_{if} / a_f, \qquad
          \rho_{if} = \min\bigl(1, (\max(1, a_f^2) - s_{if}^2) / a_f^2\bigr)_+

where s is his ``score_sd`` and a the scale of the factor in the reference. :math:`\rho` is by how much more his score
is drawn towards 0 than those of the reference: with the prior N(0, 1) a score has the variance :math:`1 - s^2`, and
those of the reference had :math:`a^2`. It is 1 for who is known as well as they were, and then this is
:math:`N(\mu_k, \Sigma + \operatorname{diag}(u^2))`. It is 0 for a factor of which nothing is known, which then has no
say; without it, a patient of whom nothing is known would be given to the subtype in the middle. The reference's own
uncertainty is in :math:`\Sigma` already and so counts twice: rather too many patients are ambiguous than too few,
unless two subtypes lie one behind the other along a strong correlation, of which :math:`\Sigma` has half.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import chi

from omics.schema import DataError, check, describe
from omics.subtypes.matching import UNASSIGNED, WITHIN, covariance_of
from omics.subtypes.mixture import squared_distance

#: A patient whose most probable subtype has a smaller probability is ambiguous.
CLEAR = 0.6
#: Share of a model's own patients by whose distances it is told what is outside; the others may be outliers.
MOST = 0.95


class Reference(NamedTuple):
    """Subtypes of the reference, in its standardised factors.

    Attributes
    ----------
    mean : numpy.ndarray, shape (subtype, factor)
        Centres, mu.
    covariance : numpy.ndarray, shape (factor, factor)
        Spread within each subtype, Sigma.
    mixing : numpy.ndarray, shape (subtype,)
        Shares.
    origin : numpy.ndarray, shape (factor,)
        Where the score 0 is, o.
    limits : numpy.ndarray, shape (2, factor)
        Where scores were cut, low and high.
    reach : float
        Distance beyond which a patient is outside, c of :func:`assign`.
    """

    mean: np.ndarray
    covariance: np.ndarray
    mixing: np.ndarray
    origin: np.ndarray
    limits: np.ndarray
    reach: float

    @classmethod
    def of(cls, model: xr.Dataset) -> Reference:
        """The subtypes of ``NODES["subtype_model"]``."""
        model = check(model, "subtype_model", where="model").compute()
        mean, mixing, centre, scale, low, high = (
            model[name].to_numpy().astype(float)
            for name in ("mean", "mixing", "factor_mean", "factor_scale", "factor_low", "factor_high")
        )
        limits = (np.array([low, high]) - centre) / scale
        return cls(mean, covariance_of(model), mixing, -centre / scale, limits, float(model["reach"]))


class Patients(NamedTuple):
    """Patients in the standardised factors of a reference.

    Attributes
    ----------
    z, uncut : numpy.ndarray, shape (sample, factor)
        Scores, cut at the limits of the reference as :class:`~omics.subtypes.Subtypes` does, and as they are.
    shrink : numpy.ndarray, shape (sample, factor)
        How much they are drawn towards the origin, rho.
    sd : numpy.ndarray, shape (sample, factor)
        How uncertain they are, u.
    """

    z: np.ndarray
    uncut: np.ndarray
    shrink: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, model: xr.Dataset, scores: xr.Dataset) -> Patients:
        """The patients of ``NODES["factors"]``; raises as :func:`assign`."""
        table = check(scores, "factors", where="factors")
        absent = sorted(set(model.indexes["factor"]) - set(table.indexes["factor"]))
        if absent:
            raise DataError(
                f"factor {', '.join(absent)} of the subtypes is absent",
                where="factors",
                fix="project the cohort on the factor model from which the subtypes were made",
            )
        table = table[["score", "score_sd"]].sel(factor=model.indexes["factor"]).compute()
        score, sd = (table[name].to_numpy().astype(float) for name in ("score", "score_sd"))
        _refuse_unknown(score, sd, table.indexes["sample"])
        mean, scale, low, high = (model[f"factor_{name}"].to_numpy() for name in ("mean", "scale", "low", "high"))
        shrink = np.clip((np.maximum(1.0, scale**2) - sd**2) / scale**2, 0.0, 1.0)
        return cls((np.clip(score, low, high) - mean) / scale, (score - mean) / scale, shrink, sd / scale)

    def take(self, rows: np.ndarray | slice) -> Patients:
        """Some of them."""
        return Patients(*(array[rows] for array in self))


def assign(model: xr.Dataset, scores: xr.Dataset) -> pd.DataFrame:
    r"""Give each patient a subtype of a model, or none; each is computed alone.

    The probabilities are those of the mixture whose components are as the module says; where ``score_sd`` is 0 they
    equal ``Subtypes.predict_proba``. With the centre :math:`m_i` of the most probable one,

    .. math:: d_i^2 = (z_i - m_i)^T \Sigma^{-1} (z_i - m_i), \qquad D_i^2 = (z_i - m_i)^T V_i^{-1} (z_i - m_i)

    the distance d is in units of the spread within the subtype, and D also knows how uncertain the scores are. A
    patient is outside if D exceeds c (:func:`with_reach`). His limit is where, on his way from the centre, he would be
    so: :math:`c \, d_i / D_i`, which is c where the scores are certain. Extreme scores are not cut here as they are for
    the probabilities, or nobody could be far outside.

    Parameters
    ----------
    model : xarray.Dataset
        ``NODES["subtype_model"]``.
    scores : xarray.Dataset
        ``NODES["factors"]`` of any patients; factors are matched by name.

    Returns
    -------
    pandas.DataFrame
        ``sample``; ``label``, the subtype or "unassigned"; ``nearest``, the most probable subtype in any case;
        ``probability`` of it; ``distance``, ``limit``; ``outside``, 1 if the distance exceeds the limit;
        ``ambiguous``, 1 if the probability is below 0.6; ``reason`` why the patient is unassigned, else empty.

    Raises
    ------
    DataError
        There is no patient, a factor of the model is absent, or a score or its standard deviation is not finite.
    """
    reference, patients = Reference.of(model), Patients.of(model, scores)
    names = [str(name) for name in model.indexes["subtype"]]
    rows = [_row(patients.take(slice(i, i + 1)), reference, names) for i in range(len(patients.z))]
    columns = ["label", "nearest", "probability", "distance", "limit", "outside", "ambiguous", "reason"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(0, "sample", scores.indexes["sample"].to_numpy(dtype=object))
    return table


def _refuse_unknown(score: np.ndarray, sd: np.ndarray, samples: pd.Index) -> None:
    if not len(samples):
        raise DataError("there is no patient", where="factors", fix="give the scores of at least one")
    unknown = samples[~(np.isfinite(score) & np.isfinite(sd) & (sd >= 0)).all(axis=1)]
    if len(unknown):
        raise DataError(
            f"{len(unknown)} patients have a score or score_sd that is not finite, first {unknown[0]}",
            where="factors",
            fix="leave them out, or project them again",
        )


def with_reach(model: xr.Dataset, scores: xr.Dataset) -> xr.Dataset:
    r"""A model that says, by its own patients, from which distance on one is outside.

    .. math:: c = \chi_{0.99} \, \max(1, D_{0.95} / \chi_{0.95})

    with the quantiles of the chi distribution with as many degrees of freedom as there are factors, and of the
    distances D of the model's patients (:func:`assign`). The spread within the subtypes is that of cut scores, and real
    subtypes have longer tails than a Gaussian, so by the chi distribution alone one in twenty of a model's own patients
    would be outside. One in twenty may lie anywhere without moving c.

    Parameters
    ----------
    model : xarray.Dataset
        ``NODES["subtype_model"]``; its ``reach`` is not used.
    scores : xarray.Dataset
        ``NODES["factors"]`` of the patients of whom it was made.
    """
    reference, patients = Reference.of(model), Patients.of(model, scores)
    mean, covariance = _expected(patients, reference)
    first = most_probable(patients, reference)
    difference = patients.uncut - mean[np.arange(len(first)), first]
    distance = np.sqrt(squared_distance(difference[:, None], covariance)[:, 0])
    within, most = chi.ppf([WITHIN, MOST], difference.shape[1])
    return describe(model.assign(reach=within * max(1.0, np.quantile(distance, MOST) / most)), "subtype_model")


def most_probable(patients: Patients, reference: Reference) -> np.ndarray:
    """Position of the most probable subtype of each patient, outside or not, (sample,)."""
    return _log_odds(patients, reference).argmax(axis=1)


def _expected(patients: Patients, reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the scores of each patient if he were of each subtype, (sample, subtype, factor), and covariance.

    The covariance, (sample, factor, factor), is the same whatever his subtype.
    """
    shrink = patients.shrink[:, None]
    mean = reference.origin + shrink * (reference.mean - reference.origin)
    covariance = patients.shrink[:, :, None] * shrink * reference.covariance
    every = np.arange(covariance.shape[1])
    covariance[:, every, every] += patients.sd**2
    return mean, covariance


def _log_odds(patients: Patients, reference: Reference) -> np.ndarray:
    """Logarithm of the probability of each subtype but for a constant of the patient, (sample, subtype)."""
    mean, covariance = _expected(patients, reference)
    return np.asarray(np.log(reference.mixing) - 0.5 * squared_distance(patients.z[:, None] - mean, covariance))


def _row(one: Patients, reference: Reference, names: list[str]) -> tuple[object, ...]:
    """Columns of :func:`assign`, but for the sample, of a table of one patient."""
    logarithm = _log_odds(one, reference)[0]
    odds = np.exp(logarithm - logarithm.max())
    probability = odds / odds.sum()
    first = int(probability.argmax())
    mean, covariance = _expected(one, reference)
    difference = one.uncut - mean[0, first]
    with np.errstate(over="ignore"):
        distance, known = (
            float(np.sqrt(squared_distance(difference, v)[0])) for v in (reference.covariance, covariance[0])
        )
    limit = reference.reach * (distance / known if 0 < known < np.inf else 1.0)
    outside, ambiguous = distance > limit, probability[first] < CLEAR
    reasons = []
    if outside:
        reasons.append(f"outside {names[first]}: distance {distance:.2f}, limit {limit:.2f}")
    if ambiguous:
        second = int(np.argsort(-probability, kind="stable")[1])
        pair = " or ".join(f"{names[k]} ({probability[k]:.2f})" for k in (first, second))
        reasons.append(f"ambiguous: {pair}")
    label = UNASSIGNED if reasons else names[first]
    flags = int(outside), int(ambiguous)
    return label, names[first], float(probability[first]), distance, limit, *flags, "; ".join(reasons)
