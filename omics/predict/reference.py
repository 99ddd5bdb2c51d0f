"""What the training patients looked like: how far a new patient is from them, and what a missing value may be.

The reference holds quantiles and moments of each predictor, never a patient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import chi2
from sklearn.pipeline import Pipeline

from omics.columns import is_text
from omics.predict.models import probability
from omics.schema import DataError

#: Quantiles kept of each numeric predictor; the outermost two leave out single patients.
_LEVELS = np.linspace(0.02, 0.98, 25)
#: A factor score this many interquartile ranges outside of the quantiles is outside of the domain.
_FAR = 2.0
#: Of patients like those trained on, this share lies further away in all factors together.
_BEYOND = 0.001
#: Draws of what is not known about a patient.
_DRAWS = 200
_SEED = 20_260
#: Texts with fewer patients than this are not told in the reference.
_RARE = 5


class Reference(NamedTuple):
    """Distribution of the predictors in training.

    Attributes
    ----------
    numbers : Dataset
        ``quantile(predictor, level)``, ``mean(predictor)``, ``sd(predictor)``.
    texts : mapping
        Text predictor -> value -> share of patients.
    scores : list of str
        Predictors that are factor scores, with an uncertainty of their own.
    """

    numbers: xr.Dataset
    texts: dict[str, dict[str, float]]
    scores: list[str]

    @classmethod
    def of(cls, table: pd.DataFrame, scores: list[str]) -> Reference:
        """Reference of a training table (sample, predictor), of which `scores` are factor scores."""
        numeric = [str(name) for name in table if not is_text(table[name])]
        values = table[numeric].astype(float)
        quantiles = values.quantile(_LEVELS).T.to_numpy() if numeric else np.empty((0, len(_LEVELS)))
        names = np.array(numeric, dtype=object)
        numbers = xr.Dataset(
            {
                "quantile": (("predictor", "level"), quantiles),
                "mean": ("predictor", values.mean().to_numpy(float)),
                "sd": ("predictor", values.std(ddof=0).to_numpy(float)),
            },
            coords={"predictor": names, "level": _LEVELS},
        )
        texts = {str(name): _shares(table[name]) for name in table if str(name) not in numeric}
        return cls(numbers, texts, list(scores))

    def outside(self, row: pd.Series) -> str:
        """Why a patient (one row of predictors) is unlike those trained on; empty where not."""
        reasons = []
        known = [name for name in self.numbers.indexes["predictor"] if np.isfinite(float(row.get(name, np.nan)))]
        for name in known:
            one = self.numbers.sel(predictor=name)
            low, high = float(one["quantile"][0]), float(one["quantile"][-1])
            if not low - _FAR * (high - low) <= float(row[name]) <= high + _FAR * (high - low):
                reasons.append(f"{name} is {float(row[name]):.3g}, in training {low:.3g} to {high:.3g}")
        reasons += [
            f"{name} is '{row[name]}', not seen in training"
            for name, shares in self.texts.items()
            if isinstance(row.get(name), str) and row[name] not in shares and "" not in shares
        ]
        factors = [name for name in self.scores if name in known]
        if factors and not reasons:
            moments = self.numbers.sel(predictor=factors)
            spread = np.maximum(moments["sd"].to_numpy(), 1e-12)
            distance = float((((row[factors].to_numpy(float) - moments["mean"].to_numpy()) / spread) ** 2).sum())
            # heavier tails than normal are common: the limit is that of a normal with twice the variance
            if distance > 2.0 * chi2.isf(_BEYOND, len(factors)):
                reasons.append(f"far from all training patients in {len(factors)} factors together")
        return "; ".join(reasons)

    def interval(self, pipeline: Pipeline, row: pd.DataFrame, sd: np.ndarray, confidence: float) -> tuple[float, float]:
        """Range of predictions over what is not known of a patient.

        Factor scores are drawn from their posterior, missing values from the training patients. It is as wide as
        missing layers and values make it; that the model itself is estimated is not in it.

        Parameters
        ----------
        pipeline : Pipeline
            Fitted model.
        row : DataFrame
            One row of predictors.
        sd : ndarray, shape (score,)
            Posterior standard deviations of the predictors `scores`.
        confidence : float
            Share of draws inside.
        """
        rng = np.random.default_rng(_SEED)  # the same draws for every patient: alone as in a batch
        drawn = pd.concat([row] * _DRAWS, ignore_index=True)
        for name, spread in zip(self.scores, sd, strict=True):
            drawn[name] = drawn[name] + spread * rng.standard_normal(_DRAWS)
        for name in row.columns[row.iloc[0].isna()]:
            drawn[name] = self._drawn(str(name), rng)
        chance = probability(pipeline, drawn)
        tail = (1.0 - confidence) / 2.0
        low, high = np.quantile(chance, [tail, 1.0 - tail])
        return float(low), float(high)

    def _drawn(self, name: str, rng: np.random.Generator) -> Any:
        if name in self.texts:
            shares = self.texts[name]
            return rng.choice(np.array(list(shares), dtype=object), size=_DRAWS, p=list(shares.values()))
        quantiles = self.numbers["quantile"].sel(predictor=name).to_numpy()
        if not np.isfinite(quantiles).all():
            return np.full(_DRAWS, np.nan)
        return np.interp(rng.random(_DRAWS), _LEVELS, quantiles)

    def to_dataset(self) -> xr.Dataset:
        """The numbers; texts and scores travel in the model card."""
        return self.numbers

    @classmethod
    def from_parts(cls, numbers: xr.Dataset, texts: dict[str, dict[str, float]], scores: list[str]) -> Reference:
        """The reference of what was stored.

        Raises
        ------
        DataError
            A variable is missing.
        """
        absent = {"quantile", "mean", "sd"} - set(numbers)
        if absent:
            raise DataError(f"the reference lacks {', '.join(sorted(absent))}", fix="train the model again")
        return cls(numbers, texts, scores)


def _shares(column: pd.Series) -> dict[str, float]:
    """Share of each text; rare ones together as '', of which it is not known what they are."""
    counts = column.dropna().astype(str).value_counts()
    common = counts[counts >= _RARE]
    shares = {str(value): float(n) for value, n in sorted(common.items())}
    rest = float(counts.sum() - common.sum())
    if rest or not shares:
        shares[""] = max(rest, 1.0)
    total = sum(shares.values())
    return {value: n / total for value, n in shares.items()}
