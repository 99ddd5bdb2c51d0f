"""What an interpretation comes to, in a few sentences for the summary: no stronger than counts and q-values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import xarray as xr

from omics.report.actions import shown
from omics.report.drivers import hazards
from omics.report.reading import records
from omics.report.tables import LEVEL, probability, read, sure
from omics.report.words import clean, count, estimate, listing, percent

#: Findings named in a sentence; the sections have all.
_NAMED = 3


def findings(tree: xr.DataTree | None) -> list[str]:
    """What goes with relapse, what may resist, what could be targeted; empty without an interpretation."""
    said = (
        _factors(tree),
        _mutations(tree),
        _lesions(tree, "resistance", ("gene", "drug"), "that may let blasts escape a drug"),
        _lesions(tree, "targets", ("indication", "agents"), "for which agents exist"),
    )
    return [sentence for sentence in said if sentence]


def _q(value: float) -> str:
    """A q-value in a sentence."""
    text = probability(value).text
    return f"q {text}" if text.startswith("<") else f"q = {text}"


def _factors(tree: xr.DataTree | None) -> str:
    found = hazards(tree)
    if found is None:
        return ""
    endpoint, rows = found
    what, tested = endpoint.replace("_", "-"), rows[rows["q_value"].notna()]
    going = sure(tested).sort_values("p_value", kind="stable")
    if going.empty:
        return (
            f"No factor goes with the time to {what} at q below {LEVEL} ({count(len(tested), 'factor')} tested; "
            f"{count(int(tested['events'].max()), 'event')}). That is not proof of none."
        )
    named = [
        f"{clean(row.factor, 30)} (hazard ratio {estimate(row.effect, row.lower, row.upper)} for one standard "
        f"deviation, {_q(row.q_value)}; {count(row.n, 'patient')}, {count(row.events, 'event')})"
        for row in records(going.head(_NAMED))
    ]
    more = f", and {len(going) - _NAMED} more" if len(going) > _NAMED else ""
    share = f"{len(going)} of {count(len(tested), 'factor')} {_go(len(going))}"
    return f"{share} with the time to {what}: {listing(named)}{more}."


def _mutations(tree: xr.DataTree | None) -> str:
    table = read(tree, "mutation_relapse")
    if table is None or table["q_value"].isna().all():
        return ""
    going = sure(table).sort_values("p_value", kind="stable")
    if going.empty:
        return (
            f"No mutated gene goes with relapse at q below {LEVEL} ({count(len(table), 'gene')} tested; "
            f"{count(int(table['n_cluster'].max()), 'patient')} relapsed). That is not proof of none."
        )
    named = [
        f"{clean(row.gene, 30)} ({row.n_inside:,} of {row.n_cluster:,} who relapsed, "
        f"{row.n_mutated - row.n_inside:,} of {row.n - row.n_cluster:,} who did not, {_q(row.q_value)})"
        for row in records(going.head(_NAMED))
    ]
    return f"{count(len(going), 'mutated gene')} of {len(table):,} {_go(len(going))} with relapse: {listing(named)}."


def _go(n: int) -> str:
    return "goes" if n == 1 else "go"


def _lesions(tree: xr.DataTree | None, node: str, names: Sequence[str], which: str) -> str:
    """Patients with such a lesion, and in which subtypes there are more than among others."""
    patients, subtypes = read(tree, f"{node}_patients"), read(tree, f"{node}_subtypes")
    if patients is None:
        return ""
    hits, everyone = shown(patients), patients["sample"].nunique()  # who was not looked at counts among everyone
    carriers, certain = (rows["sample"].nunique() for rows in (hits, hits[hits["agrees"] == "yes"]))
    said = (
        f"Lesions {which}: {carriers:,} of {count(everyone, 'patient')} ({percent(carriers / everyone)}) have one that "
        f"is or may be what the knowledge table means, {certain:,} one that is; whoever was not "
        "looked at counts as without"
    )
    return f"{said}{_more_frequent(subtypes, names)}."


def _more_frequent(table: pd.DataFrame | None, names: Sequence[str]) -> str:
    if table is None:
        return ""
    more = sure(table[table["share"] > table["share_others"]]).sort_values("p_value", kind="stable")
    once = more.drop_duplicates(["subtype", "lesion", "n_with", "n_known", "n_with_others", "n_known_others"])
    if once.empty:
        return f"; none is more frequent in a subtype at q below {LEVEL}"
    named = [_carried(row, names) for row in records(once.head(_NAMED))]
    rest = f", and {len(once) - _NAMED} more" if len(once) > _NAMED else ""
    return f". More frequent than in other subtypes: {listing(named)}{rest}"


def _carried(row: Any, names: Sequence[str]) -> str:
    first, second = (clean(getattr(row, name), 60) for name in names)
    checked = f", {row.n_to_check:,} to be checked" if row.n_to_check else ""
    return (
        f"{first} ({second}) in {clean(row.subtype, 30)} ({row.n_with:,} of {row.n_known:,} against "
        f"{row.n_with_others:,} of {row.n_known_others:,}{checked}, {_q(row.q_value)})"
    )
