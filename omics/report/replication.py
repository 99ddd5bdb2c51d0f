"""The section on replication: are the subtypes found again in another cohort, and do they mean the same there."""

from __future__ import annotations

from typing import Any

import pandas as pd
import xarray as xr

from omics.report import outcomes, reading
from omics.report.content import Part, Remark, Row, Section, Table
from omics.report.reading import Artefacts, records
from omics.report.svg import colours
from omics.report.tables import by_subtype, capped, counted, decimals, probability, read, share, text
from omics.report.words import MISSING, clean, count, listing, natural, number, percent

_REPLICATES = {1: "yes", 0: "no", -1: "cannot be judged"}


def replication_section(artefacts: Artefacts) -> Section | None:
    """Verdicts, sizes, outcome of the assigned patients, and who moved."""
    tree = artefacts.replication
    parts: list[Part] = [*_verdicts(tree), *_overall(tree), *_meaning(tree), *_outcome(artefacts), *_moves(tree)]
    if not parts:
        return None
    lead = (
        "The patients of another cohort were assigned to the subtypes by the model that was made without them; a "
        "subtype replicates if its patients there belong together beyond chance."
    )
    return Section("replication", "Replication in another cohort", lead, parts)


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
    return parts


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
        said += (
            f"Clustered by itself, the cohort has {count(int(row['own_subtypes']), 'cluster')}; their agreement with "
            f"the assignment is {number(row['ari'])} (adjusted Rand index, {count(int(row['n_compared']), 'patient')})."
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


def verdict(tree: xr.DataTree | None) -> str:
    """How many subtypes replicate, in a sentence."""
    table, overall = read(tree, "replication"), read(tree, "replication_overall")
    if table is None:
        return ""
    judged: pd.DataFrame = table[table["replicates"] >= 0]
    n = f" in {count(int(overall['n'].iloc[0]), 'patient')}" if overall is not None else ""
    unclear = len(table) - len(judged)
    return (
        f"Of {count(len(table), 'subtype')} looked for in another cohort{n}, "
        f"{(judged['replicates'] == 1).sum()} replicate{f'; {unclear} cannot be judged' if unclear else ''}."
    )
