"""Scores of factors as clusters are looked for in them: checked, in one order, without outliers, standardised."""

from __future__ import annotations

import numpy as np
import xarray as xr

from omics.schema import DataError, check
from omics.subtypes.stability import SMALLEST_COUNT, SMALLEST_SHARE

#: Scores beyond this quantile, and its mirror, are cut off: what is rarer than the smallest subtype is an outlier. In
#: small cohorts these are more, as the smallest subtype has a certain number of patients, but not more than a tenth.
RARE, MOST_CUT = SMALLEST_SHARE, 0.1


def checked(scores: xr.Dataset) -> xr.DataArray:
    """The scores in double precision, checked."""
    score = check(scores, "factors", where="factors")["score"].astype(float).compute()
    factors = score.indexes["factor"]
    if not score.size or factors.has_duplicates:
        found = f"factor {factors[factors.duplicated()][0]} stands twice" if score.size else f"scores are {score.shape}"
        raise DataError(found, where="factors", fix="give the scores of at least one patient, and each factor once")
    _refuse_patients(score, ~np.isfinite(score.to_numpy()), "a score that is not finite")
    return score


def _refuse_patients(score: xr.DataArray, wrong: np.ndarray, what: str) -> None:
    """Refuse scores of which a patient has what is wrong, shape (sample, factor)."""
    unknown = score.indexes["sample"][wrong.any(axis=1)]
    if len(unknown):
        raise DataError(
            f"{len(unknown)} patients have {what}, first {unknown[0]}",
            where="factors",
            fix="leave them out, or fit the factors again",
        )


def in_order(score: xr.DataArray) -> xr.DataArray:
    """The scores in an order of patients and factors that does not depend on how they come: Factor2 before Factor10."""
    factors = sorted(map(str, score.indexes["factor"]), key=lambda name: (len(name), name))
    return score.sortby("sample").sel(factor=factors)


def informative(scores: xr.Dataset) -> xr.DataArray:
    """Scores of the factors that vary more than they are uncertain; of all factors if there is no such one."""
    score = checked(scores)
    constant = score.max("sample") == score.min("sample")
    if constant.any():
        names = ", ".join(map(str, score.indexes["factor"][constant]))
        raise DataError(f"constant factor: {names}", where="factors", fix="fit the factors again, with fewer of them")
    _refuse_patients(score, ~(scores["score_sd"].to_numpy() >= 0), "a score_sd that is no standard deviation")
    rare = _rare(score.sizes["sample"])
    low, high = score.quantile([rare, 1 - rare], dim="sample")
    known = score.clip(low, high).var("sample") > (scores["score_sd"] ** 2).mean("sample").compute()
    return score.sel(factor=known | ~known.any())


def _rare(n_samples: int) -> float:
    """Share of the scores that are cut at either end: one less than the smallest subtype has, exactly, or more."""
    return max(RARE, min((SMALLEST_COUNT - 1) / max(n_samples - 1, 1), MOST_CUT))


def standard_of(score: xr.DataArray) -> xr.Dataset:
    """What :func:`z_of` needs of each factor."""
    rare = _rare(len(score))
    low, high = np.quantile(score, [rare, 1 - rare], axis=0)
    cut = np.clip(score.to_numpy(), low, high)
    scale = np.where(high > low, cut.std(axis=0), 1.0)
    columns = {"low": low, "high": high, "mean": cut.mean(axis=0), "scale": scale}
    return xr.Dataset(
        {f"factor_{name}": ("factor", column) for name, column in columns.items()}, coords={"factor": score["factor"]}
    )


def z_of(values: np.ndarray, standard: xr.Dataset) -> np.ndarray:
    """Scores (sample, factor) with what :func:`standard_of` learnt: outliers cut off, mean 0, standard deviation 1."""
    low, high, mean, scale = (standard[f"factor_{name}"].to_numpy() for name in ("low", "high", "mean", "scale"))
    return (np.clip(values, low, high) - mean) / scale


def importance(scores: xr.Dataset, score: xr.DataArray) -> np.ndarray:
    """What a distance multiplies a standardised factor with: the root of what it explains, relative to the mean."""
    if "explained" not in scores:
        return np.ones(score.sizes["factor"])
    explained = np.maximum(scores["explained"].sel(factor=score["factor"]).to_numpy(), 0)
    return np.sqrt(explained / explained.mean()) if explained.any() else np.ones(len(explained))
