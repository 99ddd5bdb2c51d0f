"""What an interpretation comes to, in a few sentences for the summary: no stronger than counts and q-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from omics.report.actions import looked_at, shown
from omics.report.drivers import hazards
from omics.report.reading import records
from omics.report.tables import LEVEL, distinct, probability, read, sure
from omics.report.words import clean, count, estimate, listing, percent

#: Findings named in a sentence; the sections have all.
_NAMED = 3
#: Status of an agent whose leads come first.
_APPROVED = "approved in ALL"


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
            f"{int(table['n_cluster'].max()):,} of those sequenced relapsed within the horizon). "
            "That is not proof of none."
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
    """Patients with such a lesion, of those looked at, and in which subtypes there are more than among others."""
    patients, subtypes = read(tree, f"{node}_patients"), read(tree, f"{node}_subtypes")
    if patients is None:
        return ""
    looked = looked_at(patients, subtypes)
    if not looked:
        return f"Lesions {which}: not looked at in anybody."
    hits = shown(patients)
    said = [_carriers(lesion, hits[hits["lesion"] == lesion], n) for lesion, n in looked.items()]
    return (
        f"Lesions {which}, if they are or may be what the knowledge table means: {listing(said)}"
        f"{_unseen(patients, looked)}{_more_frequent(_leads(subtypes, patients, names), names)}."
    )


def _carriers(lesion: str, hits: pd.DataFrame, looked: int) -> str:
    """How many have the lesion, of how many if that is known."""
    carriers, certain = (rows["sample"].nunique() for rows in (hits, hits[hits["agrees"] == "yes"]))
    if not looked:
        return f"{lesion} in {count(carriers, 'patient')} ({certain:,} for certain)"
    return f"{lesion} in {carriers:,} of {looked:,} looked at ({percent(carriers / looked)}; {certain:,} for certain)"


def _unseen(patients: pd.DataFrame, looked: Mapping[str, int]) -> str:
    never = [lesion for lesion in distinct(patients["lesion"]) if lesion not in looked]
    return f"; not looked at in anybody: {listing(never)}" if never else ""


def _leads(table: pd.DataFrame | None, patients: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame | None:
    """Lesions that a subtype has more often: those that are what is meant and whose agent is approved come first.

    Leads of which nothing is certain are left out where others are.
    """
    if table is None:
        return None
    more = sure(table[table["share"] > table["share_others"]])
    approved: set[tuple[str, ...]] = set()
    if "status" in patients:
        rows = patients.loc[patients["status"] == _APPROVED, list(names)]
        approved = set(rows.itertuples(index=False, name=None))
    later = [one not in approved for one in more[list(names)].itertuples(index=False, name=None)]
    ranked = more.assign(doubtful=more["n_to_check"] > 0, later=later)
    ranked = ranked.sort_values(["doubtful", "later", "p_value"], kind="stable")
    known = ranked[ranked["n_to_check"] < ranked["n_with"]]
    kept = ranked if known.empty else known
    return kept.drop_duplicates(["subtype", "lesion", "n_with", "n_known", "n_with_others", "n_known_others"])


def _more_frequent(once: pd.DataFrame | None, names: Sequence[str]) -> str:
    if once is None:
        return ""
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
