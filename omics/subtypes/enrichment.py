"""What a subtype has more of than the other patients, and which factors follow a clinical column.

Every test is exact or by ranks, so that neither small clusters nor skewed laboratory values need care, and all tests
of one table are one Benjamini-Hochberg family.

References
----------
Fisher (1935), Journal of the Royal Statistical Society 98: the exact test of a 2 x 2 table.
Mann and Whitney (1947), Annals of Mathematical Statistics 18. Kruskal and Wallis (1952), JASA 47.
Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from omics.columns import FEWEST_LEVELS, MOST_LEVELS, UNNAMED, as_levels, in_order, is_categorical, is_outcome
from omics.schema import DataError, UsageError, refuse_duplicates
from omics.stats import fisher, kruskal, mann_whitney, odds_ratio, q_values, spearman
from omics.subtypes.matching import known_labels

#: What the label of a layer's missingness begins with, and its levels.
LAYER, PRESENT, ABSENT = "layer ", "present", "absent"
#: Levels that only say what one is not, where a column has no more than two.
NEGATIVE = ("0", "false", "no", "none", "negative", "absent", "normal")
#: Levels that say no more than the name of their column, where the other one is negative.
AFFIRMATIVE = ("1", "true", "yes", "positive")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?", re.ASCII)

_KEYS = ("subtype", "label", "level", "test")
_COUNTS = ("n_inside", "n_cluster", "n_level", "n")
_NUMBERS = ("share_inside", "share_outside", "effect", "p_value", "q_value")
_ASSOCIATION = ("factor", "label", "test", "n", "effect", "p_value", "q_value")


def enrichment(labels: pd.Series, clinical: pd.DataFrame, layers: Mapping[str, pd.Index] | None = None) -> pd.DataFrame:
    r"""Test every subtype against all other patients, for every clinical column and the lack of every layer.

    A level of a categorical column (:func:`~omics.columns.is_categorical`; 2 to 30 levels) is tested by Fisher's exact
    test, two-sided: the sum of the probabilities of all tables with the same margins that are no likelier than the
    observed one. Its effect is the sample odds ratio

    .. math:: \frac{a\,d}{b\,c},

    `a` and `b` patients of the subtype with and without the level, `c` and `d` others; infinite where only `b c` is 0.
    A number (age, white cells) is tested by :func:`~omics.stats.mann_whitney`, exactly where groups are small and there
    are no ties. Its effect is the AUC, the probability that a patient of the subtype has the larger value, ties
    counted half. A patient of unknown value is left out of a test; a column that is known of no patient inside, or
    of none outside, is not tested. Outcomes (:func:`~omics.columns.is_outcome`) are left out.

    Parameters
    ----------
    labels : pandas.Series
        Subtype of each patient, indexed by sample; a patient without one is left out.
    clinical : pandas.DataFrame
        Clinical table, indexed by sample.
    layers : mapping of str to pandas.Index, optional
        Samples that have the layer, by name of the layer. Tested as ``layer <name>``, present or absent;
        as ``layer <name> (layer)`` if a clinical column has that name.

    Returns
    -------
    pandas.DataFrame
        Sorted by p-value within the subtype; empty where there is one subtype, or nothing to test.

        * ``subtype, label`` (column), ``level`` (empty for a number), ``test`` (fisher or mannwhitney);
        * ``n_inside`` patients of the subtype with the level, ``n_cluster`` of known value, ``n_level`` all patients
          with the level, ``n`` all of known value; for a number both levels are "has a value";
        * ``share_inside, share_outside`` shares with the level; for a number the medians;
        * ``effect`` (odds ratio or AUC), ``p_value``, ``q_value`` (Benjamini-Hochberg over the whole table).

    Raises
    ------
    DataError
        A sample or a column occurs twice.
    """
    known = known_labels(labels)
    refuse_duplicates(clinical.index, "sample id", "clinical")
    refuse_duplicates(clinical.columns, "column", "clinical")
    names = in_order(known.unique())
    code = pd.Series(pd.Index(names).get_indexer(pd.Index(known)), index=known.index)
    rows = [_column_rows(str(name), column, code, names) for name, column in clinical.reindex(known.index).items()]
    taken = {str(name) for name in clinical.columns}
    rows += [
        _level_rows(_layer_label(name, taken), _presence(known.index, has), code, names)
        for name, has in (layers or {}).items()
    ]
    rows = [one for one in rows if len(one)]
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=[*_KEYS, *_COUNTS, *_NUMBERS[:-1]])
    found["q_value"] = q_values(found["p_value"].to_numpy())
    found = found.assign(order=pd.Index(names).get_indexer(pd.Index(found["subtype"])))
    found = found.sort_values(["order", "p_value", "label", "level"], ignore_index=True)
    kinds = {**dict.fromkeys(_KEYS, object), **dict.fromkeys(_COUNTS, int), **dict.fromkeys(_NUMBERS, float)}
    return found[[*_KEYS, *_COUNTS, *_NUMBERS]].astype(kinds)


def factor_associations(scores: pd.DataFrame, clinical: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    r"""How much each factor follows each of the named clinical columns.

    Groups are tested by Kruskal and Wallis, with the eta squared of the ranks as effect; numbers by Spearman's
    correlation, with its square as effect. Both are shares of the variance of the factor's ranks:

    .. math:: \eta^2 = \frac{\sum_g n_g (\bar r_g - \bar r)^2}{\sum_i (r_i - \bar r)^2} = \frac{H}{n - 1}

    H is the Kruskal-Wallis statistic, corrected for ties, and compared with :math:`\chi^2`; Spearman's p-value is
    that of Student's t with `n - 2` degrees of freedom.

    Parameters
    ----------
    scores : pandas.DataFrame
        Factors, (sample, factor).
    clinical : pandas.DataFrame
        Clinical table, indexed by sample; patients of unknown value are left out of a test.
    columns : sequence of str
        Columns to look at; any number of levels, as they were asked for by name. A constant one is left out.

    Returns
    -------
    pandas.DataFrame
        ``factor, label, test`` (kruskal or spearman), ``n, effect, p_value, q_value`` (Benjamini-Hochberg over the
        table), the strongest effect first.

    Raises
    ------
    UsageError
        The clinical table has no such column.
    DataError
        A score is not finite, or a sample occurs twice.
    """
    absent = [name for name in columns if name not in clinical.columns]
    if absent:
        raise UsageError(f"there is no column {', '.join(absent)}", where="clinical", fix=f"one of {list(clinical)}")
    for index, where in ((scores.index, "scores"), (clinical.index, "clinical")):
        refuse_duplicates(index, "sample id", where)
    if not np.isfinite(scores.to_numpy(dtype=float)).all():
        raise DataError("a score is not finite", where="scores", fix="leave the patient out, or fit the factors again")
    table = clinical.reindex(scores.index)
    rows = [row for name in columns for row in _column_associations(scores, name, table[name])]
    found = pd.DataFrame(rows, columns=_ASSOCIATION[:-1])
    found["q_value"] = q_values(found["p_value"].to_numpy())
    found = found.astype({"n": int, "effect": float, "p_value": float})
    return found.sort_values(["effect", "label", "factor"], ascending=[False, True, True], ignore_index=True)


def following(table: pd.DataFrame, level: float = 0.05, least: float = 0.25) -> list[str]:
    """Factors that follow a column, by :func:`factor_associations`: to be left out, if one wants.

    Parameters
    ----------
    table : pandas.DataFrame
        What :func:`factor_associations` returned.
    level : float
        Largest q-value.
    least : float
        Smallest effect: a share of the variance of the factor's ranks.

    Returns
    -------
    list of str
        In natural order, Factor2 before Factor10.
    """
    strong = table[(table["q_value"] <= level) & (table["effect"] >= least)]
    return in_order(strong["factor"].unique())


# --- what levels say ----------------------------------------------------------------------------------------------


def read_levels(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`enrichment`, each with what its level says.

    A "no" is an answer to a question that has two. Where a column has more levels, as codes of subtypes from 0 to 9
    have, any of them is the name of something. Levels that name nothing (:data:`~omics.columns.UNNAMED`) do not count.

    Parameters
    ----------
    table : pandas.DataFrame
        What :func:`enrichment` returned.

    Returns
    -------
    pandas.DataFrame
        With ``negative``, whether the level only says what one is not; ``yes``, whether it says what the name of its
        column says; ``asked``, whether the column has a negative level, so that a patient without a value is one who
        was not looked at.
    """
    label, word = table["label"], table["level"].str.casefold()
    answers = word.mask(word.isin(UNNAMED)).groupby(label).transform("nunique")
    negative = word.isin(NEGATIVE) & (answers <= 2)
    asked = negative.groupby(label).transform("any").astype(bool)
    yes = word.isin(AFFIRMATIVE) & (asked | (answers == 1)) & (answers <= 2)  # of 1 and 2, neither is a yes
    return table.assign(negative=negative, yes=yes, asked=asked)


def level_words(label: str, level: str, yes: bool, *, bare: bool = False) -> str:
    """A level as people say it: the column's name for a yes, both for a number or a "no", the level if it is `bare`."""
    if yes:
        return label
    if _NUMBER.fullmatch(level):
        return f"{label} {level}"
    if level.casefold() in (*AFFIRMATIVE, *NEGATIVE):
        return f"{label} = {level}"
    return level if bare else f"{label} {level}"


def phi(inside: np.ndarray, cluster: np.ndarray, level: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Correlation of two sets of patients, from the patients in both, in each, and in all."""
    variances = cluster * (n - cluster) * level * (n - level)
    return (n * inside - cluster * level) / np.sqrt(np.where(variances > 0, variances, np.inf))


# --- numbers in words ---------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """A share as people write it; only what is all is 100 %, and only what is none is 0 %."""
    rounded = round(100 * share)
    if share < 1 and rounded == 100:
        return "> 99 %"
    return "< 1 %" if share > 0 and rounded == 0 else f"{rounded} %"


def small(symbol: str, value: float) -> str:
    """A p- or q-value in two digits, or that it is below 0.001."""
    return f"{symbol} < 0.001" if value < 0.001 else f"{symbol} = {value:.2g}"


def odds_text(odds: float) -> str:
    """An odds ratio: one decimal, none from 100 on."""
    return "infinite" if np.isinf(odds) else f"{odds:.{0 if odds >= 100 else 1}f}"


def number_text(value: float) -> str:
    """A number in three digits; from 1,000 on without powers of ten, and below 10,000 to the unit."""
    if 1800 <= value < 2200 and 2 * value % 1 == 0:  # a year, or midway between two; neither has a comma
        return f"{value:g}"
    if abs(value) < 999.5:
        return f"{value:.3g}"
    return f"{value if abs(value) < 10_000 else float(f'{value:.3g}'):,.0f}"


def listed(words: Sequence[str]) -> str:
    """Words with commas and an "and"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# --- tables -------------------------------------------------------------------------------------------------------


def _layer_label(name: str, taken: Collection[str]) -> str:
    """What a layer is called beside clinical columns: the name of none of them."""
    label = LAYER + name
    while label in taken:
        label += " (layer)"
    return label


def _presence(samples: pd.Index, has: pd.Index) -> pd.Series:
    return pd.Series(np.where(samples.isin(has), PRESENT, ABSENT), index=samples, dtype=object)


def _column_rows(name: str, column: pd.Series, code: pd.Series, names: list[str]) -> pd.DataFrame:
    """Tests of one clinical column; none if it is an outcome, constant, or neither categorical nor a number."""
    known = column.dropna()
    if is_outcome(name) or known.empty:
        return pd.DataFrame()
    if is_categorical(name, known):
        return _level_rows(name, as_levels(known), code, names)
    return _number_rows(name, known.astype(float), code, names) if known.dtype.kind in "iuf" else pd.DataFrame()


# --- tests of subtypes --------------------------------------------------------------------------------------------


def _level_rows(name: str, text: pd.Series, code: pd.Series, names: list[str]) -> pd.DataFrame:
    """Fisher's test of every subtype and level of one column."""
    column, levels = pd.factorize(text.to_numpy(dtype=object), sort=True)
    if not FEWEST_LEVELS <= len(levels) <= MOST_LEVELS:
        return pd.DataFrame()
    counts = np.zeros((len(names), len(levels)), dtype=int)
    np.add.at(counts, (code[text.index].to_numpy(), column), 1)
    cluster, level = np.broadcast_arrays(counts.sum(axis=1, keepdims=True), counts.sum(axis=0))
    subtype, value = np.meshgrid(np.array(names, dtype=object), levels, indexing="ij")
    tested = ((cluster > 0) & (cluster < len(text))).ravel()
    keys = {"subtype": subtype, "label": np.full(subtype.shape, name, dtype=object), "level": value}
    numbers = {"n_inside": counts, "n_cluster": cluster, "n_level": level}
    rows = pd.DataFrame({key: array.ravel()[tested] for key, array in (keys | numbers).items()})
    a, inside, all_level = (rows[key].to_numpy() for key in numbers)
    outside = len(text) - inside
    return rows.assign(
        test="fisher",
        n=len(text),
        share_inside=a / inside,
        share_outside=(all_level - a) / outside,
        effect=odds_ratio(a, inside - a, all_level - a, outside - all_level + a),
        p_value=fisher(a, inside, all_level, len(text)),
    )


def _number_rows(name: str, value: pd.Series, code: pd.Series, names: list[str]) -> pd.DataFrame:
    """The Mann-Whitney test of every subtype for one column of numbers."""
    cluster, n = code[value.index].to_numpy(), len(value)
    size = np.bincount(cluster, minlength=len(names))
    tested = np.flatnonzero((size > 0) & (size < n))
    if value.nunique() < FEWEST_LEVELS or not len(tested):
        return pd.DataFrame()
    inside = size[tested]
    area, p = np.hstack([mann_whitney(value.to_numpy()[:, None], cluster == one) for one in tested])
    medians = [(value[cluster == one].median(), value[cluster != one].median()) for one in tested]
    return pd.DataFrame(
        {
            "subtype": np.array(names, dtype=object)[tested],
            "label": name,
            "level": "",
            "test": "mannwhitney",
            "n_inside": inside,
            "n_cluster": inside,
            "n_level": n,
            "n": n,
            "share_inside": [one for one, _ in medians],
            "share_outside": [other for _, other in medians],
            "effect": area,
            "p_value": p,
        }
    )


# --- tests of factors ---------------------------------------------------------------------------------------------


def _column_associations(
    scores: pd.DataFrame, name: str, column: pd.Series
) -> list[tuple[str, str, str, int, float, float]]:
    known = column.dropna()
    categorical = is_categorical(name, known) or known.dtype.kind not in "iuf"
    value = as_levels(known) if categorical else known.astype(float)
    n = len(value)
    if value.nunique() < FEWEST_LEVELS or n < 3:
        return []
    score = scores.loc[value.index].to_numpy(dtype=float)
    if categorical:
        effect, p = kruskal(score, value.to_numpy())
        test = "kruskal"
    else:
        r, p = spearman(score, value.to_numpy())
        effect, test = r**2, "spearman"
    return [(str(f), name, test, n, float(e), float(one)) for f, e, one in zip(scores.columns, effect, p, strict=True)]
