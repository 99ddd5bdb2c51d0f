"""Which clinical columns each factor goes with: every factor against every column, as one family of tests.

What the factors were learnt from goes with them by construction; such variables are a family of their own.

Nothing here says what causes what: a factor that goes with the batch goes with whatever the batch goes with.

References
----------
Spearman (1904), American Journal of Psychology 15. Mann and Whitney (1947), Annals of Mathematical Statistics 18.
Kruskal and Wallis (1952), JASA 47. Cox (1972), Journal of the Royal Statistical Society B 34.
Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from omics.columns import FEWEST_LEVELS, MOST_LEVELS, TIME, as_levels, is_categorical, is_technical
from omics.interpret.mutation_calls import typed
from omics.schema import DataError, UsageError, refuse_duplicates
from omics.stats import kruskal, mann_whitney, q_values, spearman

#: Patients of known value that a variable needs, and that a level needs to be looked at.
FEWEST_KNOWN, RARE = 10, 3
#: What a factor is given to, indexed by sample and in standard deviations; it returns the hazard ratio, the ends of
#: its 95 % interval, the p-value, patients and events, or raises DataError where there is no estimate.
Regression: TypeAlias = Callable[[pd.Series], tuple[float, float, float, float, int, int]]

_TEXTS = ("factor", "variable", "kind", "test", "level", "effect_name")
_COUNTS, _NUMBERS = ("n", "events", "circular"), ("effect", "lower", "upper", "p_value", "q_value")
_COLUMNS = (*_TEXTS[:5], _COUNTS[0], _NUMBERS[0], _TEXTS[5], *_NUMBERS[1:3], _COUNTS[1], *_NUMBERS[3:], _COUNTS[2])


class _Kind(NamedTuple):
    """Words of a row."""

    kind: str
    test: str
    effect_name: str


NUMBER = _Kind("number", "spearman", "correlation")
TWO_LEVELS = _Kind("two levels", "mannwhitney", "auc")
LEVELS = _Kind("levels", "kruskal", "epsilon squared")
TIME_TO_EVENT = _Kind("time to event", "cox", "hazard ratio")


def associations(
    scores: pd.DataFrame,
    clinical: pd.DataFrame,
    extra: Mapping[str, pd.Series] | None = None,
    survival: Mapping[str, Regression] | None = None,
    circular: Collection[str] = (),
) -> pd.DataFrame:
    r"""Test every factor against every clinical column, each by the test that its values ask for.

    ============== ==================================== =======================================================
    values         test                                 effect
    ============== ==================================== =======================================================
    number         Spearman                             ``correlation`` of the ranks
    two levels     Mann-Whitney; exact if the smaller   ``auc``, probability that a patient of ``level`` has the
                   level has 8 patients at most         larger score
    3 to 30 levels Kruskal-Wallis                       ``epsilon squared``, share of the variance of the ranks
    time to event  Cox, by `survival`                   ``hazard ratio`` for one standard deviation of the factor
    ============== ==================================== =======================================================

    Levels are text, booleans, any two numbers, and whatever a column of :data:`~omics.columns.TECHNICAL` holds; the one
    that an AUC speaks of is the larger number or the last in the alphabet. Left out are levels of fewer than
    :data:`RARE` patients, and with them most identifiers; columns with fewer than :data:`FEWEST_KNOWN` known values,
    with one value, with more than 30 levels; ids by name, dates, times (``*_time``), and events that have a time beside
    them, which belong to `survival`. A 0/1 outcome without a time (refractory, relapse) counts as two levels: those
    who were not followed up for long are among its zeros.

    Parameters
    ----------
    scores : pandas.DataFrame
        Factors, (sample, factor).
    clinical : pandas.DataFrame
        Clinical table, indexed by sample; patients of unknown value are left out of a test. It may have no columns.
    extra : mapping of str to pandas.Series, optional
        More variables by name, indexed by sample, that are treated like columns: subtypes, a mutated gene, presence of
        a layer.
    survival : mapping of str to callable, optional
        Regressions of times to events, by name of the event.
    circular : collection of str, optional
        Variables that the factors were learnt from, or that were made of the factors.

    Returns
    -------
    pandas.DataFrame
        Sorted by p-value.

        * ``factor, variable, kind`` and ``test`` (as above), ``level`` (of two levels the one that the effect speaks
          of, else empty), ``n`` patients of known value;
        * ``effect, effect_name, lower, upper`` (95 % interval of a hazard ratio, else NaN), ``events`` (-1 where there
          are none to count);
        * ``p_value, q_value`` (Benjamini-Hochberg over the variables that are circular, and over those that are
          not). A regression without an estimate has NaN.
        * ``circular`` (1 where the variable is, else 0).

    Raises
    ------
    UsageError
        A variable has the name of a clinical column.
    DataError
        A score is not finite, a sample occurs twice, or scores and clinical table share no sample.

    References
    ----------
    Spearman (1904). Mann and Whitney (1947). Kruskal and Wallis (1952). Cox (1972). Benjamini and Hochberg (1995).
    """
    table = _checked(scores, clinical, extra or {})
    rows = [row for name, column in table.items() for row in _tests(scores, str(name), column, table.columns)]
    rows += [row for name, regression in (survival or {}).items() for row in _regressions(scores, name, regression)]
    found = pd.DataFrame(rows, columns=[name for name in _COLUMNS if name not in ("q_value", "circular")])
    found["circular"] = found["variable"].isin(list(circular)).astype(int)
    found["q_value"] = np.nan
    for _, family in found.groupby("circular"):
        found.loc[family.index, "q_value"] = q_values(family["p_value"].to_numpy())
    found = found[list(_COLUMNS)]
    found = found.sort_values(["p_value", "variable", "factor"], ignore_index=True)
    return typed(found, text=_TEXTS, integer=_COUNTS, float=_NUMBERS)


def _checked(scores: pd.DataFrame, clinical: pd.DataFrame, extra: Mapping[str, pd.Series]) -> pd.DataFrame:
    """All variables of the patients with scores."""
    for where, index in {"scores": scores.index, "clinical": clinical.index}.items():
        refuse_duplicates(index, "sample", where)
    for name, column in extra.items():
        refuse_duplicates(column.index, "sample", name)
    if not np.isfinite(scores.to_numpy(dtype=float)).all():
        raise DataError("a score is not finite", where="scores", fix="leave the patient out, or fit the factors again")
    if len(clinical.columns) and not scores.index.isin(clinical.index).any():
        raise DataError("no patient has both scores and clinical data", where="clinical", fix="compare the sample ids")
    both = [name for name in extra if name in clinical.columns]
    if both:
        raise UsageError(f"{both[0]} is a clinical column too", where="extra", fix="give it another name")
    more = {name: column.reindex(scores.index) for name, column in extra.items()}
    return clinical.reindex(scores.index).assign(**more)


# --- one column ---------------------------------------------------------------------------------------------------


def _tests(scores: pd.DataFrame, name: str, column: pd.Series, names: pd.Index) -> Iterator[dict[str, Any]]:
    """A row for each factor; none if the column is not to be tested."""
    known = column.dropna()
    if _is_no_variable(name, known, names):
        return
    number = known.dtype.kind in "iuf"
    categorical = is_categorical(name, known) or not number or known.nunique() == FEWEST_LEVELS
    value = _frequent(as_levels(known)) if categorical else known.astype(float)
    n_levels = value.nunique()
    if len(value) < FEWEST_KNOWN or n_levels < FEWEST_LEVELS or (categorical and n_levels > MOST_LEVELS):
        return
    score = scores.loc[value.index].to_numpy(dtype=float)
    kind, level = (LEVELS if categorical else NUMBER), ""
    if categorical and n_levels == FEWEST_LEVELS:
        kind, level = TWO_LEVELS, max(value.unique(), key=float if number else str)
        effect, p = mann_whitney(score, (value == level).to_numpy())
    else:
        effect, p = (kruskal if categorical else spearman)(score, value.to_numpy())
    for factor, one, its_p in zip(scores.columns, effect, p, strict=True):
        yield _row(str(factor), name, kind, level=level, n=len(value), effect=one, p_value=its_p)


def _is_no_variable(name: str, known: pd.Series, names: pd.Index) -> bool:
    """Whether the column holds ids, dates, times, or events that have a time beside them."""
    words = re.split(r"[^a-z0-9]+", name.casefold())
    is_id = words[-1] == "id" and not is_technical(name)
    return is_id or known.dtype.kind in "mM" or name.casefold().endswith(TIME) or f"{name}{TIME}" in names


def _frequent(text: pd.Series) -> pd.Series:
    return text[text.map(text.value_counts()) >= RARE]


# --- times to events ----------------------------------------------------------------------------------------------


def _regressions(scores: pd.DataFrame, name: str, regression: Regression) -> Iterator[dict[str, Any]]:
    """A row for each factor that varies."""
    for factor, score in scores.astype(float).items():
        sd = score.std()
        if not sd > 0:
            continue
        try:
            ratio, lower, upper, p, n, events = regression((score - score.mean()) / sd)
        except DataError:  # no events, or an estimate on its way to infinity: no reason to lose the table
            yield _row(str(factor), name, TIME_TO_EVENT, n=0, effect=np.nan, p_value=np.nan)
            continue
        yield _row(str(factor), name, TIME_TO_EVENT, n=n, effect=ratio, p_value=p) | {
            "lower": lower,
            "upper": upper,
            "events": events,
        }


def _row(
    factor: str, variable: str, kind: _Kind, *, n: int, effect: float, p_value: float, level: str = ""
) -> dict[str, Any]:
    own = {"factor": factor, "variable": variable, "level": level, "n": n, "effect": effect, "p_value": p_value}
    return own | kind._asdict() | {"lower": np.nan, "upper": np.nan, "events": -1}
