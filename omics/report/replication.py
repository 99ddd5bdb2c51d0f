"""The section on replication: are the subtypes found again in another cohort, and do they mean the same there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from omics.report import outcomes, reading
from omics.report.content import Part, Remark, Row, Section, Table
from omics.report.reading import Artefacts, records
from omics.report.svg import colours
from omics.report.tables import by_subtype, capped, counted, decimals, probability, read, sentence, share, text
from omics.report.words import MISSING, clean, count, listing, natural, number, percent

_REPLICATES = {1: "yes", 0: "no", -1: "cannot be judged"}


#: Shares of the reference that differ by more are of another reference.
_SAME_SHARE = 1e-9


def replication_section(
    artefacts: Artefacts, manifests: Mapping[str, Mapping[str, Any]] | None = None
) -> Section | None:
    """What forbids to believe it, verdicts, sizes, outcome of the assigned patients, and who moved.

    Parameters
    ----------
    artefacts : Artefacts
        The trees.
    manifests : mapping, optional
        Name of an artefact -> its manifest, whose hashes tell whether these are the subtypes that were looked for.

    Returns
    -------
    Section or None
        None where there is no replication.
    """
    tree = artefacts.replication
    parts: list[Part] = [*_verdicts(tree), *_overall(tree), *_meaning(tree), *_outcome(artefacts), *_moves(tree)]
    if not parts:
        return None
    other, shared = other_reference(tree, artefacts.subtypes, manifests), shared_warning(read(tree, "moves"))
    warnings: list[Part] = [Remark(f"{said}.", True) for said in (other, shared) if said]
    without = "" if shared else " that was made without them"  # it was not made without the patients of the reference
    lead = (
        f"The patients of another cohort were assigned to the subtypes by the model{without}; a subtype replicates if "
        "its patients there belong together beyond chance."
    )
    return Section("replication", "Replication in another cohort", lead, [*warnings, *parts])


def other_reference(
    tree: xr.DataTree | None, subtypes: xr.DataTree | None, manifests: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """Why the subtypes that were looked for are not those of the page; no full stop.

    Parameters
    ----------
    tree : xarray.DataTree or None
        The replication.
    subtypes : xarray.DataTree or None
        The subtypes of the page.
    manifests : mapping, optional
        As :func:`replication_section`; without those of both, the shares of the reference are compared.

    Returns
    -------
    str
        Empty where they are the same, or where one is missing.
    """
    table, known = read(tree, "replication"), reading.dataset(subtypes, "subtypes")
    if table is None or known is None:
        return ""
    looked_for, here = (sorted(map(str, names), key=natural) for names in (table["subtype"], known.indexes["subtype"]))
    said = "The replication is of another reference than the subtypes of this page"
    if looked_for != here:
        looked, found = (f"{len(names):,} ({clean(listing(names), 120)})" for names in (looked_for, here))
        return f"{said}: it looked for {looked}, here there are {found}"
    if _made_of_others(table, reading.labels(subtypes), manifests or {}):
        return f"{said}: names that are the same need not be the same subtypes. Look for those of this page again"
    return ""


def _made_of_others(table: pd.DataFrame, label: pd.Series, manifests: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether subtypes of the same names are others: by the hash of the reference where it is known, else by shares."""
    digest, made = manifests.get("subtypes", {}).get("digest"), manifests.get("replication", {}).get("inputs")
    if digest and made:
        return digest not in {one.get("sha256") for one in made}
    share = label.value_counts(normalize=True).reindex(table["subtype"].astype(str), fill_value=0.0)
    return not np.allclose(share, table["share_reference"], rtol=0, atol=_SAME_SHARE)


def _verdicts(tree: xr.DataTree | None) -> list[Part]:
    table = read(tree, "replication")
    if table is None:
        return []
    rows: list[Row] = [
        [clean(row.subtype, 40), _REPLICATES.get(row.replicates, MISSING), f"{row.assigned:,} of {row.n:,}",
         share(row.share), share(row.share_reference), probability(row.share_p_value), decimals(row.in_group),
         probability(row.p_value), probability(row.p_permuted), decimals(row.prediction_strength)]
        for row in records(table)
    ]  # fmt: skip
    head = ("Subtype", "Replicates", "Assigned", "Share here", "Share there", "p (shares)", "In group",
            "p (no clusters)", "p (permuted)", "Prediction strength")  # fmt: skip
    note = (
        "Assigned: of the patients nearest to the subtype. Share there: in the cohort from which the subtypes are. In "
        "group: share of the patients whose nearest neighbour is of the same subtype; its p-values are against cohorts "
        "without clusters and against permuted centres. Prediction strength: 1 is perfect, 0.8 or more is strong."
    )
    parts: list[Part] = [Table("Do the subtypes replicate?", head, "llrrrrrrrr", rows, note)]
    failed = table[table["replicates"] == 0]
    if len(failed):
        parts.append(Remark(f"Not replicated: {listing([clean(name, 40) for name in failed['subtype']])}.", True))
    unclear = [sentence(said) for said in table.loc[table["replicates"] < 0, "verdict"] if said]
    return [*parts, *([Remark(" ".join(unclear))] if unclear else [])]


def _overall(tree: xr.DataTree | None) -> list[Part]:
    table = read(tree, "replication_overall")
    if table is None:
        return []
    row = table.iloc[0]
    said = (
        f"{count(int(row['n']), 'patient')}; {row['n_unassigned']:,} not assigned ({row['n_outside']:,} beyond the "
        f"limit of all subtypes, {row['n_ambiguous']:,} between subtypes). "
    )
    if row["own_subtypes"] > 0:
        whom = count(int(row["n_compared"]), "assigned patient")
        said += (
            f"By itself the cohort was cut into {count(int(row['own_subtypes']), 'cluster')}, a number given by the "
            f"reference and no finding; their agreement with the assignment is {number(row['ari'])} (adjusted Rand "
            f"index, {whom})."
        )
    return [Remark(f"{said} {clean(row['note'], 300)}".strip())]


def _meaning(tree: xr.DataTree | None) -> list[Part]:
    """What the subtypes are there."""
    table = read(tree, "verdicts")
    if table is None:
        return []
    rows: list[Row] = [
        [clean(row.subtype, 40), counted(row.n), clean(row.kind), clean(row.sentence, 300)] for row in records(table)
    ]
    return [Table("Replication: what each subtype is", ("Subtype", "Patients", "Kind", "In words"), "lrll", rows)]


def _outcome(artefacts: Artefacts) -> list[Part]:
    """Curves and tests of the assigned patients, in the colours that the subtypes have elsewhere on the page."""
    tree = artefacts.replication
    table, tests = reading.frame(tree, "curves"), reading.frame(tree, "tests")
    if table is None:
        return []
    known = reading.subtype_names(artefacts.subtypes)
    groups = sorted(table["group"].astype(str).unique(), key=natural)
    colour = colours([*known, *(group for group in groups if group not in known)])
    parts: list[Part] = [] if tests is None else [outcomes.endpoint_tests(tests, "Replication: ")]
    parts.append(outcomes.panels(table, colour, "Replication: ", "replication-curve"))
    return [*parts, *outcomes.forests(tree, "Replication: ", "replication-hazards")]


def _moves(tree: xr.DataTree | None) -> list[Part]:
    """Patients who are in both cohorts, or who were classified twice."""
    table = read(tree, "moves")
    if table is None:
        return []
    shown, cut = capped(table.sort_values("n", ascending=False, kind="stable"))
    rows: list[Row] = [_move(row) for row in shown.to_dict("records")]
    staying = "; ".join(
        f"{clean(name, 40)} {percent(float(part['stayed'].iloc[0]))}" for name, part in by_subtype(table, "from")
    )
    head = ("From", "To", "Patients", "Who")
    return [Table("Patients who were classified before", head, "llrl", rows, f"Stayed: {staying}.{cut}")]


def _move(row: dict[Any, Any]) -> list[Any]:
    return [text(row["from"], 40), text(row["to"], 40), counted(int(row["n"])), text(row["patients"])]


def verdict(
    tree: xr.DataTree | None,
    subtypes: xr.DataTree | None = None,
    manifests: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """How many subtypes replicate, and in whom, in a sentence or two; or that they are not those of the page."""
    table, overall = read(tree, "replication"), read(tree, "replication_overall")
    if table is None:
        return ""
    other = other_reference(tree, subtypes, manifests)
    if other:
        return f"{other}."
    n_yes, unclear = ((table["replicates"] == value).sum() for value in (1, -1))
    shared = shared_warning(read(tree, "moves"))
    n = f" in {count(int(overall['n'].iloc[0]), 'patient')}" if overall is not None else ""
    return (
        f"Of {count(len(table), 'subtype')} looked for in another cohort{n}, {n_yes} "
        f"replicate{f'; {unclear} cannot be judged' if unclear else ''}.{f' {shared}.' if shared else ''}"
    )


def shared_warning(moves: pd.DataFrame | None) -> str:
    """What must be said where patients are in the reference too; no full stop.

    Parameters
    ----------
    moves : pandas.DataFrame or None
        ``NODES["moves"]`` of a replication.

    Returns
    -------
    str
        Empty where no patient is.
    """
    n = 0 if moves is None or moves.empty else int(moves["n"].sum())
    who = "1 patient is" if n == 1 else f"{n:,} patients are"
    return f"{who} in the reference too: what is said of them is no replication" if n else ""
