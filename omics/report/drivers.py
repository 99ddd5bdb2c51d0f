"""What drives the factors: what they go with, hazard of relapse, gene sets, leading features with their stability."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from omics.columns import is_technical
from omics.report import effects, figures, grids, reading
from omics.report.content import Figure, Part, Remark, Row, Section, Table
from omics.report.reading import Artefacts, records
from omics.report.tables import (
    LEVEL,
    capped,
    counted,
    decimals,
    distinct,
    ends,
    how_many,
    in_order,
    named,
    one_direction,
    probability,
    read,
    share,
    sure,
    text,
)
from omics.report.words import clean, count, listing, natural

#: Variables, and gene sets, that are drawn: those of the smallest q-values.
MAX_VARIABLES, MAX_SETS = 30, 25
#: Leading features of a factor and layer that the page shows.
MAX_RANK = 10
#: Leading genes of a set that the page names.
MAX_GENES = 5
_CORRELATED = (
    "The test allows for correlation between the genes of a set. Each set once, in either direction: p and q are "
    "two-sided where there is such a test."
)
#: A factor that explains less of a layer than this has no leading features there worth naming.
MIN_R2 = 0.01
_YES = frozenset({"", "1", "1.0", "True", "yes"})
_EFFECTS = {
    "correlation": "correlation",
    "auc": "AUC",
    "epsilon squared": "epsilon squared",
    "hazard ratio": "hazard ratio",
}


def drivers_section(artefacts: Artefacts) -> Section | None:
    """Leading features, associations, hazards and gene sets of the factors."""
    tree = artefacts.interpretation
    parts: list[Part] = [*_associations(tree), *_sets(tree), *_features(artefacts)]
    if not parts:
        return None
    lead = (
        "What goes with each factor, and which features lead it. An association is no cause, and the features of a "
        f"factor move together. Marked and said to count: a false discovery rate (q) below {LEVEL}."
    )
    return Section("drivers", "What drives the factors", lead, parts)


# --- associations -------------------------------------------------------------------------------------------------


def hazards(tree: xr.DataTree | None) -> tuple[str, pd.DataFrame] | None:
    """The first end point with regressions on factors, relapse before others, and its rows."""
    table = read(tree, "associations")
    if table is None:
        return None
    for endpoint in figures.ENDPOINTS:
        rows = table[(table["test"] == "cox") & (table["variable"] == f"time to {endpoint.replace('_', ' ')}")]
        if rows["effect"].notna().any():
            return endpoint, rows
    return None


def _associations(tree: xr.DataTree | None) -> list[Part]:
    table = read(tree, "associations")
    if table is None:
        return []
    return [*_technical(table), *_forest(tree), *_heatmap(table), _association_table(table)]


def _technical(table: pd.DataFrame) -> list[Part]:
    """A warning where factors go with how samples were handled."""
    going = sure(table[table["variable"].map(is_technical)])
    if going.empty:
        return []
    said = [
        f"{clean(variable, 40)} ({listing([clean(one, 30) for one in distinct(rows['factor'])])})"
        for variable, rows in going.groupby("variable", sort=True)
    ]
    return [
        Remark(
            f"Factors go with how samples were handled, at q below {LEVEL}: {listing(said)}. What they say may be "
            "technical, unless such groups differ in their patients.",
            warning=True,
        )
    ]


def _forest(tree: xr.DataTree | None) -> list[Part]:
    found = hazards(tree)
    if found is None:
        return []
    endpoint, rows = found
    what = endpoint.replace("_", " ")
    drawn = in_order(rows.rename(columns={"factor": "label", "effect": "estimate"}), "label")
    title = f"Hazard ratio for one standard deviation of a factor: {what}"
    svg = effects.hazard_forest(drawn, name="factor-hazards", title=title, says=("lower risk", "higher risk"))
    caption = (
        "Cox regression of each factor alone, of the cause where others compete. The p-values are not adjusted; "
        f"q-values stand in the table of associations. {how_many(rows, 'factor')}"
    )
    return [Figure(svg, caption)]


def label_of(variable: str, level: str) -> str:
    """Name of a variable, with the level that its effect speaks of, unless that says but yes."""
    return variable if level in _YES else f"{variable}: {level}"


def _heatmap(table: pd.DataFrame) -> list[Part]:
    """Effects between -1 and 1: correlations, 2 AUC - 1, and shares of variance, which have no sign."""
    rows = table[table["test"] != "cox"]
    if rows.empty:
        return []
    rows = rows.assign(label=list(map(label_of, rows["variable"], rows["level"])), signed=_signed(rows))
    least = rows.groupby("label", sort=False)["q_value"].min().sort_values(kind="stable")
    chosen = list(least.index[:MAX_VARIABLES])
    factors = sorted(rows["factor"].unique(), key=natural)
    values, q = (
        rows.pivot_table(index="label", columns="factor", values=name, aggfunc="first", dropna=False)
        for name in ("signed", "q_value")
    )
    values, q = (one.reindex(index=chosen, columns=factors) for one in (values, q))
    svg = grids.heatmap(values, q, name="associations", title="Factors and what is known of patients", limit=1.0)
    left = len(least) - len(chosen)
    caption = (
        "Numbers: Spearman's correlation. Two levels: 2 AUC − 1, above 0 where patients of the level named have higher "
        "scores. More levels: epsilon squared, the share of the variance of ranks, which has no sign."
        + (f" {count(left, 'variable')} with larger q-values stand in the table alone." if left else "")
    )
    return [Figure(svg, caption)]


def _signed(rows: pd.DataFrame) -> pd.Series:
    return rows["effect"].where(rows["effect_name"] != "auc", 2 * rows["effect"] - 1)


def _association_table(table: pd.DataFrame) -> Table:
    shown, cut = capped(table)
    rows: list[Row] = [
        [clean(row.factor, 40), clean(label_of(row.variable, row.level), 60),
         _EFFECTS.get(row.effect_name, clean(row.effect_name)), decimals(row.effect), ends(row.lower, row.upper),
         counted(row.n), counted(row.events), probability(row.p_value), probability(row.q_value)]
        for row in records(shown)
    ]  # fmt: skip
    head = ("Factor", "With", "Effect", "Size", "95 % interval", "Patients", "Events", "p-value", "q-value")
    note = (
        f"All tests are one family. {how_many(table)} AUC: probability that a patient of the level named has the "
        "larger score; 0.5 is none. Hazard ratio: for one standard deviation of the factor. Circular, so description: "
        "the subtypes found, which factors made, and mutations where they were a layer; their q-values are a "
        "family apart." + cut
    )
    return Table("Factors and clinical variables", head, "lllrrrrrr", rows, note)


# --- gene sets ----------------------------------------------------------------------------------------------------


def _sets(tree: xr.DataTree | None) -> list[Part]:
    parts: list[Part] = []
    for path, by, title in (
        ("factor_sets", "factor", "Gene sets by factor"),
        ("subtype_sets", "subtype", "Gene sets by subtype"),
    ):
        table = read(tree, path)
        if table is not None:
            table = one_direction(table, by)
            parts += _dots(table, by, title)
            parts.append(_set_table(table, by, title, _CORRELATED))
    ranked, cpgs = read(tree, "ranked_sets"), read(tree, "cpg_sets")
    if ranked is not None:
        why = "Genes in the order of their weights or statistics; this test takes genes to be independent."
        parts.append(_set_table(one_direction(ranked, "group"), "group", "Gene sets, pre-ranked", why))
    return [*parts, *([] if cpgs is None else [_cpg_table(cpgs)])]


def _dots(table: pd.DataFrame, by: str, title: str) -> list[Part]:
    """The surest sets of each layer."""
    drawn: list[Part] = []
    for i, (layer, rows) in enumerate(table.groupby("layer", sort=True)):
        least = sure(rows).groupby("set", sort=False)["q_value"].min().sort_values(kind="stable")
        if least.empty:
            drawn.append(Remark(f"{title}, {clean(layer, 40)}: no set has q below {LEVEL}. {how_many(rows)}"))
            continue
        chosen = rows[rows["set"].isin(least.index[:MAX_SETS])]
        svg = grids.enrichment_dots(
            chosen, by=by, name=f"{by}-sets-{i}", title=f"{title}, {clean(layer, 40)}", value="t"
        )
        few = f"The {MAX_SETS} surest of {len(least):,} sets" if len(least) > MAX_SETS else "Sets"
        drawn.append(Figure(svg, f"{few} with q below {LEVEL} somewhere; above 0 the set rises with the score."))
    return drawn


def _set_table(table: pd.DataFrame, by: str, title: str, why: str) -> Table:
    shown, cut = capped(table)
    rows: list[Row] = [
        [clean(group, 40), clean(row.set, 60), clean(row.layer, 30), text(row.direction), counted(row.n_genes),
         decimals(row.statistic), probability(row.p_value), probability(row.q_value),
         text(", ".join(row.leading.split(";")[:MAX_GENES]))]
        for group, row in zip(shown[by], records(shown), strict=True)
    ]  # fmt: skip
    head = (by.capitalize(), "Set", "Layer", "Direction", "Genes", "Statistic", "p-value", "q-value", "Leading genes")
    return Table(title, head, "llllrrrrl", rows, f"{why} {how_many(table)}{cut}")


def _cpg_table(table: pd.DataFrame) -> Table:
    shown, cut = capped(table.sort_values(["p_value", "set"], kind="stable"))
    rows: list[Row] = [
        [clean(row.group, 40), clean(row.set, 60), clean(row.layer, 30), f"{row.n_hit:,} of {row.n_genes:,}",
         decimals(row.expected, 1), probability(row.p_value), probability(row.q_value)]
        for row in records(shown)
    ]  # fmt: skip
    head = ("Group", "Set", "Layer", "Genes hit", "Expected", "p-value", "q-value")
    note = (
        "Genes of the set with a leading CpG, and how many are expected given their numbers of probes. "
        f"{how_many(table)}{cut}"
    )
    return Table("Gene sets of leading CpGs", head, "lllrrrr", rows, note)


# --- leading features ---------------------------------------------------------------------------------------------


def _features(artefacts: Artefacts) -> list[Part]:
    table = read(artefacts.interpretation, "factor_features")
    if table is None:
        return []
    shown = table[table["rank"] <= MAX_RANK]
    explained = reading.dataset(artefacts.factors, "variance")
    said = ""
    if explained is not None:
        r2 = reading.matrix(explained["r2"].transpose("factor", "view")).stack()
        enough = shown.set_index(["factor", "layer"]).index.map(r2.to_dict()).to_numpy(dtype=float) >= MIN_R2
        shown = shown[enough]
        said = f" Left out: layers of which the factor explains less than {MIN_R2:.0%}.".replace(
            "%", "\N{NO-BREAK SPACE}%"
        )
    rows: list[Row] = [
        [clean(row.factor, 40), clean(row.layer, 30), counted(row.rank), named(row.feature, row.gene),
         decimals(row.weight, 3), share(row.share, 1), decimals(row.correlation), decimals(row.stability)]
        for row in records(shown)
    ]  # fmt: skip
    head = ("Factor", "Layer", "Rank", "Feature", "Weight", "Share", "Correlation", "Stability")
    note = (
        f"The {MAX_RANK} largest weights of each layer, of {int(table['rank'].max())} in the folder of numbers. Share: "
        "of the squared weights of the layer. Stability: share of the other restarts of the fit in which the feature "
        "leads too; a dash: no other restart was kept, or the layer has too few features to tell." + said
    )
    return [Table("Leading features of the factors, with their stability", head, "llrlrrrr", rows, note)]
