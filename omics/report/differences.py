"""What sets the subtypes apart: volcano plots, differential features, methylation that goes with expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr

from omics.report import effects, reading
from omics.report.content import Figure, Group, Part, Remark, Row, Section, Table
from omics.report.reading import Artefacts, records
from omics.report.tables import capped, counted, decimals, how_many, in_order, named, probability, read, text
from omics.report.words import clean, listing, natural

#: Most volcano plots.
MAX_DRAWN = 8
#: Leading features of a subtype and layer that the page shows.
MAX_RANK = 20


def differences_section(artefacts: Artefacts) -> Section | None:
    """Differential features of each subtype."""
    tree = artefacts.interpretation
    layers = reading.below(tree, "differential")
    parts: list[Part] = [*_volcanoes(layers), *_features(tree), *_concordance(tree)]
    if not parts:
        return None
    lead = (
        "Each subtype against all other patients, feature by feature (moderated t). Where the subtypes were made from "
        "the same values, p- and q-values are circular: description, not evidence."
    )
    return Section("differences", "What sets the subtypes apart", lead, parts)


def _volcanoes(layers: Mapping[str, xr.Dataset]) -> list[Part]:
    """All subtypes in all layers if these are few, else the layer of genes alone."""
    if not layers:
        return []
    names = sorted({str(one) for layer in layers.values() for one in layer["subtype"].to_numpy()}, key=natural)
    genes_first = sorted(layers, key=lambda name: (name != "expression", name))
    chosen = genes_first if len(names) * len(layers) <= MAX_DRAWN else genes_first[:1]
    shown = names[: MAX_DRAWN // len(chosen)]
    drawn: list[Part] = [
        _volcano(layers[layer], layer, subtype, f"volcano-{i}-{j}")
        for i, subtype in enumerate(shown)
        for j, layer in enumerate(chosen)
        if subtype in layers[layer].indexes["subtype"]
    ]
    return [Group(drawn), *_not_drawn(names[len(shown) :], genes_first[len(chosen) :])]


def _volcano(layer: xr.Dataset, name: str, subtype: str, key: str) -> Figure:
    one = layer.sel(subtype=subtype)[["difference", "p_value", "q_value", "n"]].compute()
    features = [str(feature) for feature in one["feature"].to_numpy()]
    genes = one["gene"].to_numpy() if "gene" in one.variables else features
    said = [named(feature, gene, 60) for feature, gene in zip(features, genes, strict=True)]
    svg = effects.volcano(
        one["difference"].to_numpy(),
        one["p_value"].to_numpy(),
        one["q_value"].to_numpy(),
        said,
        name=key,
        title=f"{subtype}, {name}",
        x="mean of the subtype less that of all others",
    )
    n, rest = int(one["n"]), int(layer["n"].sum() - one["n"])
    caption = f"{clean(subtype, 40)}, {clean(name, 40)}: {n:,} patients against {rest:,}, {len(features):,} features."
    return Figure(svg, caption)


def _not_drawn(subtypes: Sequence[str], layers: Sequence[str]) -> list[Part]:
    left = listing([clean(one, 40) for one in (*subtypes, *layers)])
    return [Remark(f"Not drawn, but in the tables: {left}.")] if left else []


def _features(tree: xr.DataTree | None) -> list[Part]:
    table = read(tree, "subtype_features")
    if table is None:
        return []
    table = in_order(table, "subtype")
    shown, cut = capped(table[table["rank"] <= MAX_RANK], 2000)
    rows: list[Row] = [
        [clean(row.subtype, 40), clean(row.layer, 30), counted(row.rank), named(row.feature, row.gene),
         decimals(row.difference, signed=True), decimals(row.statistic, 1), probability(row.p_value),
         probability(row.q_value)]
        for row in records(shown)
    ]  # fmt: skip
    head = ("Subtype", "Layer", "Rank", "Feature", "Difference", "Moderated t", "p-value", "q-value")
    note = (
        f"The {MAX_RANK} largest statistics of each layer, of {int(table['rank'].max())} in the folder of numbers. "
        "Difference: mean of the subtype less that of all others. q-value: over all features of the layer and subtype."
        + cut
    )
    return [Table("Differential features of the subtypes", head, "llrlrrrr", rows, note)]


def _concordance(tree: xr.DataTree | None) -> list[Part]:
    table = read(tree, "concordance")
    if table is None:
        return []
    shown, cut = capped(table.sort_values("p_value", kind="stable"))
    rows: list[Row] = [
        [named(row.feature, row.gene), clean(row.cpg, 40), clean(row.subtype, 40), text(row.direction),
         decimals(row.difference_methylation, signed=True), decimals(row.difference_expression, signed=True),
         decimals(row.r), decimals(row.r_within), counted(row.n), probability(row.p_value), probability(row.q_value)]
        for row in records(shown)
    ]  # fmt: skip
    head = ("Gene", "CpG", "Subtype", "Direction", "Methylation", "Expression", "r", "r within", "Patients", "p-value",
            "q-value")  # fmt: skip
    note = (
        "Differences of methylation and expression where both are largest. r: Spearman's correlation of the two; "
        f"r within: the same within subtypes, which the p-value is of. {how_many(table, 'pair')}{cut}"
    )
    return [Table("Genes whose methylation and expression change together", head, "llllrrrrrrr", rows, note)]
