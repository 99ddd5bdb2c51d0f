"""The section on outcome: curves with numbers at risk, and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from omics.report import effects, figures, reading
from omics.report.clusters import MODELS, beyond_what_is_known
from omics.report.content import Cell, Figure, Group, Part, Remark, Row, Section, Table
from omics.report.reading import Artefacts
from omics.report.svg import colours
from omics.report.tables import counted, ends, probability, ratio, read, text
from omics.report.words import (
    MISSING,
    clean,
    count,
    listing,
    natural,
    number,
    p_value,
    percent_estimate,
)

#: With fewer events than this a comparison is description, not evidence.
FEW_EVENTS = 10
#: Longest name of a subtype that fits left of the time axis.
_SHORT = 5
#: Endpoints that set the time at which all are compared: after relapse, follow-up is shorter.
_FROM_DIAGNOSIS = ("relapse", "event_free", "overall")
#: End points with a forest plot; the others are in the table.
MAX_FORESTS = 3
#: Names of clinical columns that a sentence cannot use as they are.
KNOWN_AS = {"subtype": "known subtype"}
TESTS = {
    "gray": "Gray's test",
    "logrank": "log-rank test",
    "gray_permuted": "Gray's test by permutation",
    "logrank_permuted": "log-rank test by permutation",
}
#: Why a hazard ratio or its interval is lacking.
_DASH = (
    "A dash: no finite estimate, or, of the interval alone, fewer than 10 patients of the subtype in a Fine-Gray "
    "regression."
)


# --- curves -------------------------------------------------------------------------------------------------------


def curves_section(artefacts: Artefacts) -> Section | None:
    """Relapse, event-free and overall survival by subtype."""
    table, tests = reading.frame(artefacts.subtypes, "curves"), reading.frame(artefacts.subtypes, "tests")
    if table is None:
        return None
    groups = sorted(table["group"].astype(str).unique(), key=natural)
    names = reading.subtype_names(artefacts.subtypes)
    colour = colours([*names, *(g for g in groups if g not in names)])
    parts: list[Part] = []
    if tests is not None:
        parts += [endpoint_tests(tests), *_few_events(tests)]
    parts.append(panels(table, colour))
    parts += [*forests(artefacts.subtypes), *beyond_what_is_known(artefacts.subtypes)]
    lead = "Shaded: pointwise 95\N{NO-BREAK SPACE}% bands. Below each figure: patients at risk just before that time."
    if (table["endpoint"] == "relapse").any():
        lead = (
            "Deaths in remission and second malignancies compete with relapse, so its incidence is estimated by "
            f"Aalen-Johansen, not by 1 minus Kaplan-Meier. {lead}"
        )
    title = "Outcome by subtype" if len(groups) > 1 else "Outcome"
    return Section("curves", title, lead, parts)


def panels(table: pd.DataFrame, colour: Mapping[str, str], of: str = "", name: str = "curve") -> Group:
    """Curves of each end point with numbers at risk, and the estimates at the horizon.

    Parameters
    ----------
    table : pandas.DataFrame
        Node ``curves``.
    colour : mapping
        Colour of each group, in the order of the groups.
    of, name : str
        What captions, and ids, start with: unique on the page.
    """
    ticks = time_ticks(float(table["time"].max()))
    drawn = [
        _panel(endpoint, table[table["endpoint"] == endpoint], colour, ticks, (of, name))
        for endpoint in figures.ENDPOINTS
        if (table["endpoint"] == endpoint).any()
    ]
    return Group([*drawn, _at_horizon(table, colour, horizon_of(table), of)])


def _panel(
    endpoint: str, table: pd.DataFrame, colour: Mapping[str, str], ticks: Sequence[float], named: tuple[str, str]
) -> Group:
    title = f"{named[0]}{figures.ENDPOINTS[endpoint][0]}"
    part = dict(list(table.groupby("group", sort=False)))
    present = [group for group in colour if group in part]
    at_risk: list[Row] = [
        [Cell(clean(group, 16), swatch=colour[group]), *map("{:,}".format, at_risk_at(part[group], ticks))]
        for group in present
    ]
    head = ("At risk", *(f"{t:g} y" for t in ticks))
    return Group(
        [
            Figure(figures.curves(endpoint, table, colour, ticks, name=named[1]), ""),
            Table(
                f"{title}: numbers at risk",
                head,
                "l" + "n" * len(ticks),
                at_risk,
                compact=True,
                widths=_widths(present, ticks),
            ),
        ],
        stacked=True,
    )


def _widths(names: Sequence[str], ticks: Sequence[float]) -> list[float]:
    """Column widths that set each number below its tick; none where a name is too long for the margin."""
    if max(len(name) for name in names) > _SHORT:
        return []
    left, right = (100 * end for end in figures.TIME_AXIS)
    step = (right - left) / (len(ticks) - 1)
    return [left - step / 2, *[step] * len(ticks)]


def time_ticks(end: float) -> list[float]:
    """Ticks of the time axis from 0 to the end of follow-up: at most eight steps of a readable size."""
    step = next((s for s in (0.25, 0.5, 1.0, 2.0, 5.0) if end <= 8 * s), 10.0)
    return [round(float(t), 2) for t in np.arange(0, end + step - 1e-9, step)] if end > 0 else [0.0, step]


def at_risk_at(rows: pd.DataFrame, times: Sequence[float]) -> list[int]:
    """Patients at risk just before each time: those of the first row at or after it, 0 after the last."""
    ordered = rows.sort_values("time", kind="stable")
    n_at_risk = np.append(ordered["at_risk"].to_numpy(), 0)
    return [int(n) for n in n_at_risk[np.searchsorted(ordered["time"].to_numpy(), times, side="left")]]


def horizon_of(table: pd.DataFrame) -> float:
    """Time at which groups are compared in numbers: 5 years, or less if some group is not followed up so long."""
    from_diagnosis = table[table["endpoint"].isin(_FROM_DIAGNOSIS)]
    followed = (table if from_diagnosis.empty else from_diagnosis).groupby(["endpoint", "group"])["time"].max().min()
    return next((h for h in (5.0, 3.0, 2.0, 1.0) if followed >= h), 1.0)


def estimate_at(rows: pd.DataFrame, horizon: float) -> str:
    """Estimate and interval of one curve at the horizon; a dash if it ends before."""
    ordered = rows.sort_values("time", kind="stable")
    if ordered["time"].iloc[-1] < horizon:
        return MISSING
    last = ordered[ordered["time"] <= horizon].iloc[-1]
    if not np.isfinite(last["lower"]):
        return f"{number(100 * last['estimate'], 0)} % (no interval)"
    return percent_estimate(last["estimate"], last["lower"], last["upper"])


def _at_horizon(table: pd.DataFrame, colour: Mapping[str, str], horizon: float, of: str) -> Table:
    endpoints = [e for e in figures.ENDPOINTS if (table["endpoint"] == e).any()]
    by = dict(list(table.groupby(["group", "endpoint"], sort=False)))
    rows: list[Row] = [
        [Cell(clean(g), swatch=c), *(estimate_at(by[g, e], horizon) if (g, e) in by else MISSING for e in endpoints)]
        for g, c in colour.items()
        if (table["group"] == g).any()
    ]
    head = ("Subtype", *(figures.ENDPOINTS[e][0] for e in endpoints))
    return Table(f"{of}Estimates at {horizon:g} years, with 95 % intervals", head, "l" + "r" * len(endpoints), rows)


def endpoint_tests(tests: pd.DataFrame, of: str = "") -> Table:
    """Tests of every end point; `of` is what its caption starts with."""
    rows = [
        [figures.ENDPOINTS.get(row.endpoint, (clean(row.endpoint), False))[0], TESTS.get(row.test, clean(row.test)),
         f"{number(row.statistic, 1)} (df {row.df})", p_value(row.p_value), f"{row.n:,}", f"{row.events:,}"]
        for row in reading.records(tests)
    ]  # fmt: skip
    note = (
        f"{count(len(rows), 'test')}, not adjusted for each other. A small p-value says that the subtypes differ; "
        "a large one does not say that they are alike."
    )
    head = ("End point", "Test", "Chi-square", "p-value", "Patients", "Events")
    return Table(f"{of}Do the subtypes differ in outcome?", head, "llrrrr", rows, note)


def _few_events(tests: pd.DataFrame) -> list[Remark]:
    few = tests[tests["events"] < FEW_EVENTS]
    if few.empty:
        return []
    said = listing([f"{figures.ENDPOINTS[row.endpoint][0].lower()} ({row.events})" for row in reading.records(few)])
    return [Remark(f"Fewer than {FEW_EVENTS} events for {said}: read these as description, not as evidence.", True)]


# --- hazard ratios ------------------------------------------------------------------------------------------------


def forests(tree: xr.DataTree | None, of: str = "", name: str = "hazards") -> list[Part]:
    """Hazard ratios of the subtypes, alone and beside what is known: forest plots, and all terms in a table."""
    table = read(tree, "adjusted_terms")
    if table is None:
        return []
    table = _estimable(table)
    endpoints = [endpoint for endpoint in figures.ENDPOINTS if (table["endpoint"] == endpoint).any()]
    drawn = [_forest(endpoint, table[table["endpoint"] == endpoint], of, name) for endpoint in endpoints[:MAX_FORESTS]]
    return [*drawn, _terms(table, of)]


def _estimable(table: pd.DataFrame) -> pd.DataFrame:
    """Terms that separate those with an event from those without have no finite ratio: none is shown."""
    broken = (table["lower"] <= 0) | np.isinf(table["upper"])
    return table.assign(
        reference=table["lower"].isna() & (table["hazard_ratio"] == 1),
        **{column: table[column].where(~broken) for column in ("hazard_ratio", "lower", "upper", "p_value")},
    )


def _forest(endpoint: str, table: pd.DataFrame, of: str, name: str) -> Figure:
    """One model: of those with covariates the first, else the first."""
    adjusted = table[table["adjusted"] == 1]
    model = str((table if adjusted.empty else adjusted)["model"].iloc[0])
    rows = table[table["model"] == model]
    reference = rows.loc[rows["reference"] & (rows["term"] == "group"), "group"].unique()
    drawn = rows[~rows["reference"]]
    terms = [one.group if one.term == "group" else f"{one.term}: {one.group}" for one in reading.records(drawn)]
    lines = drawn.assign(
        label=[said.removesuffix(": ") for said in terms],
        group=drawn["adjusted"].map({0: "Subtypes alone", 1: "Beside what is known"}),
        estimate=drawn["hazard_ratio"],
    )
    against = f", against {listing([clean(one, 30) for one in reference])}" if len(reference) else ""
    what = figures.ENDPOINTS[endpoint][0].removeprefix("Cumulative incidence of ").capitalize()
    title = f"{of}{what}{against} ({MODELS.get(model, clean(model))})"
    svg = effects.hazard_forest(lines, name=f"{name}-{endpoint}", title=title, says=("lower risk", "higher risk"))
    return Figure(svg, f"Patients and events are those of the row. {_DASH}")


def _terms(table: pd.DataFrame, of: str) -> Table:
    rows: list[Row] = [
        [figures.ENDPOINTS.get(row.endpoint, (clean(row.endpoint), False))[0], MODELS.get(row.model, clean(row.model)),
         "with" if row.adjusted else "alone", "subtype" if row.term == "group" else clean(row.term, 40),
         text(row.group, 40), "reference" if row.reference else ratio(row.hazard_ratio), ends(row.lower, row.upper),
         probability(row.p_value), counted(row.n), counted(row.events)]
        for row in reading.records(table)
    ]  # fmt: skip
    head = ("End point", "Model", "Covariates", "Term", "Level", "Hazard ratio", "95 % interval", "p-value", "Patients",
            "Events")  # fmt: skip
    note = f"Not adjusted for the number of terms. {_DASH}"
    return Table(f"{of}Hazard ratios", head, "lllllrrrrr", rows, note)
