"""Whether a cluster of patients is something new, or a known subtype, a batch, sex, or a lack of data.

What a cluster has more of is tested by :func:`~omics.subtypes.enrichment.enrichment`; here the counts of that table
are judged by rules, and every judgement is a sentence with its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from omics.columns import KNOWN, UNNAMED, in_order, is_entity, is_technical, is_text
from omics.schema import UsageError
from omics.stats import eta_squared, fisher
from omics.subtypes.enrichment import (
    ABSENT,
    LAYER,
    enrichment,
    factor_associations,
    following,
    level_words,
    listed,
    number_text,
    odds_text,
    percent,
    phi,
    read_levels,
    small,
)
from omics.subtypes.matching import known_labels

__all__ = ["KINDS", "enrichment", "factor_associations", "following", "verdicts"]

#: What a cluster may be.
KINDS = ("known", "splits", "merges", "technical", "sex", "missing data", "new")
SEX = ("sex", "gender")
#: Share of a cluster's patients who carry the level, for the cluster to be of it.
PURE = 0.8
#: Share of a level's patients who are in the cluster, for the level to be wholly within it.
WHOLE = 0.8
#: The same share, for a cluster to have a part in the level.
PART = 0.1
#: Share of all patients of the cluster, those without a label counted in, that must carry the level.
CARRIED = 1 / 3
#: The same for several levels that are wholly within the cluster; and share of patients whose label must be known, or
#: the sentence says of how many it is.
MAJORITY = 0.5
#: Smallest phi of cluster and level for a level to explain a cluster at all.
LEAST_PHI = 0.3
#: The same among the clusters that split a subtype, for sex, batch or missing data to explain the split.
SPLIT_PHI = 0.5
#: Largest q-value, and p-value among clusters that split a subtype.
LEVEL = 0.05
#: A level of fewer patients is within some cluster by chance; fewer patients are no others to be told from.
SMALLEST = 5
#: Enriched levels that are named of a cluster which nothing explains.
MOST_NAMED = 3
_COLUMNS = ("subtype", "n", "kind", "label", "level", "sentence")


class Explanation(NamedTuple):
    """What a cluster may be: one verdict, and phi, how strongly it is that."""

    kind: str
    label: str
    level: str
    sentence: str
    phi: float


class Evidence(NamedTuple):
    """What all verdicts are made from.

    Attributes
    ----------
    labels : pandas.Series
        Subtype of each patient, as text.
    table : pandas.DataFrame
        What :func:`enrichment` returned, with what :func:`_counted` adds.
    known : list of pandas.DataFrame
        Rows of known-subtype levels by :func:`_named`, the columns that come first in a table of their own.
    traps : pandas.DataFrame
        Rows of technical columns, sex and missing layers, with ``phi`` and ``trap``, their kind.
    scores : pandas.DataFrame or None
        Factors, (sample, factor).
    """

    labels: pd.Series
    table: pd.DataFrame
    known: list[pd.DataFrame]
    traps: pd.DataFrame
    scores: pd.DataFrame | None


def verdicts(
    labels: pd.Series,
    clinical: pd.DataFrame,
    table: pd.DataFrame,
    scores: pd.DataFrame | None = None,
    *,
    known: Sequence[str] | None = None,
) -> pd.DataFrame:
    r"""Say in one sentence what each cluster is.

    A level explains a cluster by three numbers: its precision, the share of the cluster that carries it; its recall,
    the share of its patients that are in the cluster; and its strength, the correlation of the two as 0 and 1,

    .. math:: \phi = \frac{n a - c m}{\sqrt{c (n - c) m (n - m)}},

    `a` patients of both, `c` of the cluster, `m` of the level, `n` in all. With 90 % of all patients from one site,
    so are 90 % of any cluster: precision is high, and phi is 0. A patient whose label is missing or names no subtype
    (B-other, unknown: :data:`~omics.columns.UNNAMED`) counts in none of the three, but a third of all patients of the
    cluster must carry the level. Where fewer than five patients with a name are outside the cluster, or of another
    level, phi may be that of all who have a label: they are what cluster and level can be told from. The shares of a
    sentence are of all patients of the cluster, and it says how many of them have no named label, and how many none;
    only where a column has a "no", so that who has no value was not looked at, are they of those who were, with their
    number.

    The kind of a cluster is the first of the known ones that holds for its strongest level, all with
    :math:`\phi \ge 0.3`, and :math:`q \le 0.05` where it is one level:

    known
        Precision and recall are at least 0.8. It "equals" the level if 0.8 of all its patients carry it, and half of
        all patients have a label; otherwise it "looks like" it.
    merges
        At least two levels of one column, each of five patients or more, have a recall of at least 0.8, and make up
        half of the cluster; phi is that of their union.
    splits
        Precision is at least 0.8, recall is not. Clusters with a tenth of the level's patients share in it. Phi is the
        larger of the cluster's own and that of all who share. The factor is the one whose eta squared between those
        clusters is largest.

    Columns named in :data:`~omics.columns.KNOWN` are looked at first, and other labels, however they are coded, only
    if they explain nothing; mutations in 0 and 1 are no labels. What is no disease entity
    (:data:`~omics.columns.ENTITIES`) is neither split nor joined. Then:

    technical, sex, missing data
        Precision of a level of a technical column (``is_technical``), of :data:`SEX`, or of a layer's absence or
        presence is at least 0.8, :math:`q \le 0.05`, and its phi is larger than that of the known explanation, if
        there is one; a tie goes to biology. A split also is of this kind if among the clusters that share the level
        precision is at least 0.8, :math:`\phi \ge 0.5`, and Fisher's p, times the levels looked at, is at most 0.05;
        the sentence then gives that p.
    new
        Nothing of the above. Up to three levels of different columns that are commoner in the cluster are named, those
        with the smallest p-values, and the number that differs most; all have :math:`q \le 0.05`.

    Parameters
    ----------
    labels : pandas.Series
        Subtype of each patient, indexed by sample; a patient without one is left out.
    clinical : pandas.DataFrame
        Clinical table, indexed by sample, from which the table was made.
    table : pandas.DataFrame
        What :func:`enrichment` says of them.
    scores : pandas.DataFrame, optional
        Factors, (sample, factor), to say by which one clusters split a subtype.
    known : sequence of str, optional
        Columns that name known subtypes, instead of all labels.

    Returns
    -------
    pandas.DataFrame
        ``subtype, n`` (patients), ``kind`` (of :data:`KINDS`), ``label, level`` (several joined by "; "; both empty
        for a new cluster in which nothing is enriched), ``sentence``. Empty where `table` is: one subtype, or
        nothing known of the patients, is no evidence of anything new.

    Raises
    ------
    UsageError
        A column of `known` does not exist, or the table is of other subtypes.
    DataError
        A sample occurs twice.
    """
    text = known_labels(labels)
    sizes = text.value_counts()
    absent = [name for name in known or () if name not in clinical.columns]
    if absent:
        raise UsageError(f"there is no column {', '.join(absent)}", where="clinical", fix=f"one of {list(clinical)}")
    others = sorted(set(table["subtype"]) - set(sizes.index))
    if others:
        raise UsageError(f"no patient is of {others[0]}", where="table", fix="make the table from the same labels")
    evidence = _evidence(text, clinical, table, scores, known)
    rows: list[tuple[str, int, str, str, str, str]] = []
    for name in in_order(sizes.index) if len(table) else []:
        found = _explain(evidence, name)
        rows.append((name, int(sizes[name]), found.kind, found.label, found.level, found.sentence))
    return pd.DataFrame(rows, columns=_COLUMNS).astype({"n": int})


# --- evidence -----------------------------------------------------------------------------------------------------


def _evidence(
    labels: pd.Series,
    clinical: pd.DataFrame,
    table: pd.DataFrame,
    scores: pd.DataFrame | None,
    known: Sequence[str] | None,
) -> Evidence:
    table = _counted(table, labels)
    levels = table[table["test"] == "fisher"]
    columns = {str(name): column for name, column in clinical.items()}
    entity = np.array([known is not None or is_entity(label) for label in levels["label"]], dtype=bool)
    kind = np.array([_trap(label, layer=label not in columns) for label in levels["label"]], dtype=object)
    levels = levels.assign(entity=entity, trap=kind)
    traps = levels[kind != ""]
    free = set(levels.loc[kind == "", "label"])
    # calls of genes are data from which clusters may come, and no labels
    own = [name for name, one in columns.items() if name in free and (is_text(one) or not _is_mutation(name))]
    named = [_named(levels[levels["label"].isin(tier)], bare=i == 0) for i, tier in enumerate(_tiers(own, known))]
    return Evidence(labels, table, named, traps.assign(phi=_phi(traps)), scores)


def _counted(table: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """The table with what its levels say, and the patients whom its tests leave out.

    ``known`` patients of the cluster, of its ``size``; of these the shares ``missing``, without a value, and
    ``carried``, with the level; ``unknown``, the share without a value among all patients.
    """
    size = table["subtype"].map(labels.value_counts()).astype(float)
    return read_levels(table).assign(
        known=table["n_cluster"],
        size=size,
        missing=1 - table["n_cluster"] / size,
        carried=table["n_inside"] / size,
        unknown=1 - table["n"] / len(labels),
    )


def _tiers(labelled: list[str], known: Sequence[str] | None) -> list[list[str]]:
    """Columns that may name subtypes, those that come first in a list of their own."""
    if known is not None:
        return [list(known)]
    first = [name for name in labelled if name.casefold() in KNOWN]
    return [first, [name for name in labelled if name not in first]]


def _is_mutation(name: str) -> bool:
    return name.casefold().endswith("mutation")


def _trap(label: str, *, layer: bool) -> str:
    """Kind of a column, or of what may be a `layer`, that is no biology; empty for others."""
    if layer and label.startswith(LAYER):
        return "missing data"
    if label.casefold() in SEX:
        return "sex"
    return "technical" if is_technical(label) else ""


def _named(rows: pd.DataFrame, *, bare: bool) -> pd.DataFrame:
    """Rows of levels that name a subtype, the patients of the other levels counted as of unknown label.

    Not so in a column with one name only: its unknown ones are all that it can be told from. ``n_cluster`` and ``n``
    are those with a name, ``all_cluster`` and ``all`` those with any label; ``unnamed`` is the share of the cluster
    whose label is none; and there are ``precision, recall, phi`` and the ``name``, with the column's unless `bare`.
    """
    unnamed = rows["level"].str.casefold().isin(UNNAMED)
    name = ~(unnamed | rows["negative"])
    several = rows["level"].where(name).groupby(rows["label"]).transform("nunique") > 1
    aside = rows[["n_inside", "n_level"]].mul(unnamed & several, axis=0)
    aside = aside.groupby([rows["subtype"], rows["label"]]).transform("sum")
    named = rows.assign(
        unnamed=aside["n_inside"] / rows["size"],
        n_cluster=rows["n_cluster"] - aside["n_inside"],
        n=rows["n"] - aside["n_level"],
        all_cluster=rows["n_cluster"],
        all=rows["n"],
        name=[level_words(*one, bare=bare) for one in zip(rows["label"], rows["level"], rows["yes"], strict=True)],
    )[name]
    return named.assign(
        precision=named["n_inside"] / named["n_cluster"],
        recall=named["n_inside"] / named["n_level"],
        phi=_strength(named),
    )


def _strength(named: pd.DataFrame) -> np.ndarray:
    """Phi among patients with a name; or among all with a label, if larger, where too few names are left to compare."""
    among, every = _phi(named), _phi(named.assign(n_cluster=named["all_cluster"], n=named["all"]))
    others = named["n"] - named[["n_cluster", "n_level"]].max(axis=1)
    return np.where(others < SMALLEST, np.maximum(among, every), among)


def _phi(rows: pd.DataFrame) -> np.ndarray:
    """Phi of each row's cluster and level; 0 where one of them is everybody."""
    return phi(*(rows[name].to_numpy(dtype=float) for name in ("n_inside", "n_cluster", "n_level", "n")))


# --- rules --------------------------------------------------------------------------------------------------------


def _explain(evidence: Evidence, subtype: str) -> Explanation:
    """The verdict on one cluster, by the rules of :func:`verdicts`."""
    own = next((found for rows in evidence.known if (found := _known(evidence, rows, subtype))), None)
    trap = _follows(_of(evidence.traps, subtype))
    if trap and (own is None or trap.phi > own.phi):
        return trap
    return own or _new(evidence, subtype)


def _of(rows: pd.DataFrame, subtype: str) -> pd.DataFrame:
    return rows[rows["subtype"] == subtype]


def _strongest(rows: pd.DataFrame) -> pd.Series | None:
    """The row of the largest phi, the first of them in the order of the table."""
    return None if rows.empty else rows.iloc[int(rows["phi"].to_numpy().argmax())]


def _known(evidence: Evidence, rows: pd.DataFrame, subtype: str) -> Explanation | None:
    """What known subtypes of some columns make of a cluster, if anything."""
    mine = _of(rows, subtype)
    pure = mine[(mine["precision"] >= PURE) & (mine["carried"] >= CARRIED) & (mine["q_value"] <= LEVEL)]
    same = _strongest(pure[(pure["recall"] >= WHOLE) & (pure["phi"] >= LEAST_PHI)])
    if same is not None:
        return _equals(same)
    merged = [found for _, levels in mine[mine["entity"]].groupby("label") if (found := _merges(levels))]
    if merged:
        return max(merged, key=lambda found: found.phi)
    part = _strongest(pure[pure["entity"]])
    return None if part is None else _splits(evidence, rows, part)


def _equals(row: pd.Series) -> Explanation:
    subtype, name = row["subtype"], row["name"]
    # the label of the rest of its patients, or of most who may be elsewhere, is not known
    verb = "equals" if row["carried"] >= PURE and row["unknown"] <= MAJORITY else "looks like"
    sentence = f"{subtype} {verb} {name} ({_carry(row)}, {percent(row['recall'])} of all who do are in {subtype}"
    return Explanation("known", row["label"], row["level"], f"{sentence}{_unnamed(row)}).", row["phi"])


def _merges(levels: pd.DataFrame) -> Explanation | None:
    """The levels of one column that are wholly within the cluster, if there are several."""
    whole = levels[(levels["recall"] >= WHOLE) & (levels["n_level"] >= SMALLEST)].sort_values("level")
    if len(whole) < 2 or whole["carried"].sum() < MAJORITY:
        return None
    union = whole.head(1).assign(n_inside=whole["n_inside"].sum(), n_level=whole["n_level"].sum())
    first, strength = whole.iloc[0], float(_strength(union)[0])
    if strength < LEAST_PHI:
        return None
    subtype, names = first["subtype"], list(whole["name"])
    shares = listed([percent(one) for one in whole["recall"]])
    sentence = (
        f"{subtype} joins {listed(names)} ({shares} of them are in {subtype}; "
        f"together they are {percent(whole['carried'].sum())} of it{_unnamed(first)})."
    )
    return Explanation("merges", first["label"], "; ".join(whole["level"]), sentence, strength)


def _splits(evidence: Evidence, rows: pd.DataFrame, part: pd.Series) -> Explanation | None:
    """A cluster of one level that has only part of it, with the other clusters that share the level."""
    same = rows[(rows["label"] == part["label"]) & (rows["level"] == part["level"])].set_index("subtype")
    sharing = in_order(same.index[(same["recall"] >= PART) | (same.index == part["subtype"])])
    shared = same.loc[sharing]
    union = shared.head(1).assign(**shared[["n_inside", "n_cluster", "all_cluster"]].sum())
    strength = max(part["phi"], float(_strength(union)[0]))
    if strength < LEAST_PHI:
        return None
    trap = _split_by_trap(evidence, sharing, part)
    if trap:
        return trap._replace(phi=strength)
    held = listed([f"{percent(shared.loc[one, 'recall'])} are in {one}" for one in sharing])
    start = f"{listed(sharing)} split {part['name']}" if len(sharing) > 1 else f"{sharing[0]} is part of {part['name']}"
    sentence = f"{start}{_by_factor(evidence, sharing)}: {_carry(part)}; of all who do, {held}{_unnamed(part)}."
    return Explanation("splits", part["label"], part["level"], sentence, strength)


def _split_by_trap(evidence: Evidence, sharing: list[str], part: pd.Series) -> Explanation | None:
    """What is no biology and tells the cluster from the others that share its level, if anything does."""
    within = evidence.traps[evidence.traps["subtype"].isin(sharing)]
    totals = within.groupby(["label", "level"])[["n_inside", "n_cluster"]].transform("sum")
    within = within.assign(n_level=totals["n_inside"], n=totals["n_cluster"])
    outside = (within["n_level"] - within["n_inside"]) / (within["n"] - within["n_cluster"])
    mine = _of(within.assign(phi=_phi(within), share_outside=outside), part["subtype"])
    counts = mine[["n_inside", "n_cluster", "n_level", "n"]].to_numpy(dtype=int)
    p = [float(fisher(a, c, m, int(n[0]))[0]) * len(mine) for a, c, m, n in counts[:, :, None]]
    row = _trap_row(mine.assign(q_value=np.minimum(np.array(p, dtype=float), 1.0)), SPLIT_PHI)
    if row is None:
        return None
    others = listed([one for one in sharing if one != part["subtype"]])
    what, numbers = _trap_words(row, f" of {part['subtype']}", others, "p")
    sentence = f"{listed(sharing)} split {part['name']} by {what}: {numbers}."
    return Explanation(row["trap"], row["label"], row["level"], sentence, part["phi"])


def _follows(rows: pd.DataFrame) -> Explanation | None:
    """The strongest column among `rows` that is no biology, if it explains their cluster."""
    row = _trap_row(rows, LEAST_PHI)
    if row is None:
        return None
    what, numbers = _trap_words(row)
    sentence = f"{row['subtype']} follows {what}: {numbers}."
    return Explanation(row["trap"], row["label"], row["level"], sentence, row["phi"])


def _trap_row(rows: pd.DataFrame, least: float) -> pd.Series | None:
    pure = rows[(rows["share_inside"] >= PURE) & (rows["carried"] >= CARRIED) & (rows["q_value"] <= LEVEL)]
    return _strongest(pure[pure["phi"] >= least])


def _new(evidence: Evidence, subtype: str) -> Explanation:
    """What is said of a cluster that nothing explains."""
    mine = _of(evidence.table, subtype)
    compared = any(len(_of(rows, subtype)) for rows in evidence.known)
    start = f"{subtype} matches no known label" if compared else f"{subtype} has no known label to be compared with"
    levels = mine[mine["test"] == "fisher"]
    more = levels[(levels["effect"] > 1) & ~levels["negative"] & (levels["q_value"] <= LEVEL)]
    numbers = mine[(mine["test"] == "mannwhitney") & (mine["q_value"] <= LEVEL)]
    label, level, parts = "", "", [start]
    if len(more):
        label, level = more.iloc[0][["label", "level"]]  # the table is sorted by p-value
        parts.append(f"most enriched: {listed(_enriched(more))}")
    elif len(levels):
        parts.append("no label is enriched" if len(numbers) else "nothing is enriched")
    if len(numbers):
        parts.append(_number_words(numbers.iloc[0]))
    return Explanation("new", label, level, "; ".join(parts) + ".", 0.0)


def _enriched(more: pd.DataFrame) -> list[str]:
    """The first rows of different columns, in words."""
    return [
        f"{level_words(row['label'], row['level'], row['yes'])} "
        f"(odds ratio {odds_text(row['effect'])}, {small('q', row['q_value'])}{_known_of(row)})"
        for _, row in more.drop_duplicates("label").head(MOST_NAMED).iterrows()
    ]


def _by_factor(evidence: Evidence, sharing: list[str]) -> str:
    """The factor that differs most between clusters, as part of a sentence; empty without scores."""
    if evidence.scores is None:
        return ""
    label = evidence.labels[evidence.labels.isin(sharing)]
    scores = evidence.scores.reindex(label.index).dropna()
    label = label[scores.index]
    if label.nunique() < 2 or scores.shape[1] == 0:
        return ""
    eta = eta_squared(scores.to_numpy(dtype=float), label.to_numpy())
    return f", by {scores.columns[int(eta.argmax())]} (eta squared {eta.max():.2f})"


# --- words --------------------------------------------------------------------------------------------------------


def _carry(row: pd.Series) -> str:
    subtype = row["subtype"]
    if row["asked"] and row["missing"]:
        among = f"the {row['known']} of {subtype} who were {_looked_at(row)}"
        return f"{percent(row['share_inside'])} of {among} carry it"
    return f"{percent(row['carried'])} of {subtype} carry it"


def _unnamed(row: pd.Series) -> str:
    """The shares of the cluster whose label names no subtype, and without a label, as the end of a sentence."""
    of, said = f"of {row['subtype']}", []
    if row["unnamed"]:
        said.append(f"{percent(row['unnamed'])} {of} have no named {row['label']}")
    lack = f"were not {_looked_at(row)}" if row["asked"] else "have no label"
    if row["missing"]:
        said.append(f"{percent(row['missing'])} {of} {lack}")
    if row["unknown"] > MAJORITY:
        said.append(f"{percent(row['unknown'])} of all patients {lack}")
    return "".join(f"; {one}" for one in said)


def _looked_at(row: pd.Series) -> str:
    return "sequenced" if _is_mutation(row["label"]) else "tested"


def _known_of(row: pd.Series) -> str:
    """Of how many patients of a cluster the value is known, where it is of less than half; part of a bracket."""
    return f", known of {row['known']} of {row['size']:.0f}" if row["missing"] > MAJORITY else ""


def _trap_words(row: pd.Series, of: str = "", others: str = "the others", symbol: str = "q") -> tuple[str, str]:
    """What a cluster follows, and the numbers."""
    kind, what, level = row["trap"], row["label"], row["level"]
    does = f"are {level}" if kind == "sex" else f"come from {level}"
    if kind == "missing data":
        noun, does = ("lack", "lack it") if level == ABSENT else ("presence", "have it")
        what = f"the {noun} of {what.removeprefix(LAYER)}"
    inside, outside = percent(row["share_inside"]), percent(row["share_outside"])
    if row["missing"]:
        of = f" of the {row['known']}{of} whose {what} is known"
    return what, f"{inside}{of} {does} ({outside} of {others}, {small(symbol, row['q_value'])})"


def _number_words(row: pd.Series) -> str:
    inside, outside = row["share_inside"], row["share_outside"]
    side = "higher" if row["effect"] > 0.5 else "lower"
    medians = f"median {number_text(inside)} against {number_text(outside)} in the others"
    return f"{row['label']} is {side}: {medians} (AUC {row['effect']:.2f}, {small('q', row['q_value'])})"
