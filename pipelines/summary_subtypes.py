"""Key figures of subtypes and of their replication: what a reader must know first, in words, then the tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from omics import cohort
from omics.columns import in_order
from omics.report.replication import shared_warning
from omics.subtypes.clustering import DISSOLVED, LEVEL, level_of
from pipelines.tables import Row, records

#: A subtype of fewer patients carries a warning.
_FEWEST = 5
#: Tables that are shown whole, where the artefact has them.
_MEANING = ("adjusted_tests", "solutions", "solution_tests", "relapse_tests", "followed", "panels")


def subtypes(tree: xr.DataTree) -> Row:
    """Figures of ``omics subtypes``."""
    labels = cohort.node(tree, "subtypes")["label"].to_series().value_counts()
    sizes = labels.reindex(sorted(labels.index, key=lambda name: (len(name), name)))
    stability, tests = records(tree, "stability"), records(tree, "tests")
    summary = json.loads(tree.attrs["subtypes"])
    warnings = _warnings({str(name): int(n) for name, n in sizes.items()}, summary)
    tables = {name: records(tree, name) for name in _MEANING if name in tree.children}
    return {
        **({"warnings": warnings} if warnings else {}),
        "n_subtypes": len(sizes),
        "in_words": _in_words(len(sizes), summary, tree),
        "number_shares": summary["number_shares"],
        "algorithm": summary["algorithm"],
        **_left_out(tables.get("followed", [])),
        "sizes": sizes.to_dict(),
        "stability": next((row["stability"] for row in stability if row["n_subtypes"] == len(sizes)), None),
        "structure_p_value": summary["p_value"],
        "verdicts": [row["sentence"] for row in records(tree, "verdicts")],
        "relapse_p_value": _relapse(tree, tests, summary["algorithm"]),
        **_beside_what_is_known(tables.get("adjusted_tests", [])),
        "tests": tests,
        **tables,
        "agreement": records(tree, "agreement"),
        "stability_by_number": stability,
    }


def _warnings(sizes: Mapping[str, int], summary: Mapping[str, Any]) -> list[str]:
    said = []
    if len(sizes) > 1 and summary["p_value"] > LEVEL:
        said.append("as many clusters were asked for; they are no more stable than those of data without clusters")
    small = [f"{name} ({n})" for name, n in sizes.items() if n < _FEWEST]
    if small:
        said.append(f"fewer than {_FEWEST} patients, too few to say anything of: {', '.join(small)}")
    return said


def _in_words(n: int, summary: Mapping[str, Any], tree: xr.DataTree) -> str:
    p = f"p = {summary['p_value']:.2g}"
    if n == 1 and summary.get("n_subtypes") == 1:
        return "one group was asked for"
    if n == 1:
        table = cohort.node(tree, "stability")
        beyond = ((table["p_value"] <= LEVEL) & (table["weakest"] > DISSOLVED)).to_numpy()
        level = level_of(table["weakest"].to_numpy()[beyond]) if beyond.any() else LEVEL
        if level < summary["p_value"] <= LEVEL:
            p += f"; of clusters as little stable as these p <= {level:g} is asked"
            needed = round(1 / level) - 1
            if summary["n_null"] < needed:
                p += f", for which it takes {needed} cluster-free data sets (--null-sets)"
        return f"no structure: no number of clusters is both reproducible and beyond cluster-free data ({p})"
    chosen = "asked for" if summary.get("n_subtypes") else "chosen by stability"
    return f"{n} subtypes, {chosen}; against cluster-free data {p}"


def _left_out(followed: list[Row]) -> Row:
    """Which factors were left out for following a clinical column, and how near the others came."""
    if not followed:
        return {}
    factors = in_order({row["factor"] for row in followed})
    out = {row["factor"] for row in followed if row["excluded"]}
    said = f"{len(out)} of {len(factors)}" + (f": {', '.join(one for one in factors if one in out)}" if out else "")
    kept = [row for row in followed if row["factor"] not in out and row["effect"] == row["effect"]]
    if kept:
        top = max(kept, key=lambda row: row["effect"])
        said += (
            f"; of those kept {top['factor']} follows {top['label']} most, which explains {100 * top['effect']:.0f} % "
            "of its ranks (25 % with q <= 0.05 would leave it out)"
        )
    return {"excluded_factors": said}


def _relapse(tree: xr.DataTree, tests: list[Row], chosen: str) -> float | None:
    """P-value of the difference in relapse, corrected over the solutions looked at where there were several."""
    looked = records(tree, "solution_tests")
    corrected = [row["p_adjusted"] for row in looked if (row["endpoint"], row["solution"]) == ("relapse", chosen)]
    return next(iter([*corrected, *(row["p_value"] for row in tests if row["endpoint"] == "relapse")]), None)


def _beside_what_is_known(tests: list[Row]) -> Row:
    """The adjusted tests in a sentence each: what was adjusted for, what was not, and how far to trust it."""
    said = [_sentence(row) for row in tests if row["adjusted"] and row["model"] != "fine_gray"]
    return {"beside_what_is_known": said} if said else {}


def _sentence(row: Row) -> str:
    """An adjusted test, with every covariate that was left out, and of the remarks those that bear on the p-value."""
    beside = ", ".join(text for text in (_text(row["covariates"]), _text(row["strata"])) if text)
    p = f"p = {row['p_value']:.2g}" if row["p_value"] == row["p_value"] else "not tested"
    parts = _text(row["remark"]).split("; ")
    why = [part for part in parts if part.startswith(("not fitted", "nothing is left"))]
    dropped = [part for part in parts if part.startswith("dropped")]
    # said of the user's choice as of the default: the order is theirs, and it decides
    stays = f" ({_text(row['strata'])} stays: strata take no events)" if _text(row["strata"]) else ""
    hint = [f"name the most important first (--covariates): the last are dropped first{stays}"] if dropped else []
    pooled = [part for part in parts if " pooled as " in part]
    few = [f"beware: {part}" for part in parts if part.endswith("for each")]
    limit = [part for part in parts if part.endswith("tested by the limit of the likelihood")]
    out = [] if any("no covariate is left" in one for one in why) else _not_adjusted_for(_text(row["left_out"]))
    given = f"{p} beside {beside}" if beside else p
    without = f" ({'; '.join(out)})" if out else ""
    counts = f" ({row['events']} events of {row['n']} patients)"
    return "; ".join([f"{row['endpoint']}: {given}{without}{counts}", *why, *few, *limit, *pooled, *dropped, *hint])


def _not_adjusted_for(left_out: str) -> list[str]:
    """Covariates that were left out; patients who lack one are in the counts. "age (one value)", or "age: why"."""
    said = []
    for part in left_out.split("; "):
        names, colon, why = part.partition(": ")
        if not colon:
            names, _, why = part.removesuffix(")").partition(" (")
        if part and not part.endswith("(a covariate is missing)"):
            said.append(f"{names} left out: {why}")
    return said


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def replication(tree: xr.DataTree) -> Row:
    """Figures of ``omics subtypes --reference``."""
    shown = ("replication_overall", "tests", "moves", "adjusted_tests")
    tables = {name: records(tree, name) for name in ("replication", *shown) if name in tree.children}
    moves = pd.DataFrame(tables.get("moves", []))
    verdicts = [row.pop("verdict") for row in tables["replication"]]
    for one in tables.get("moves", []):
        del one["patients"]
    warning = shared_warning(moves)
    read = (
        "verdicts rest on p_value, against cohorts without clusters; p_permuted is by the older test against centres "
        "whose factors are dealt out anew, and is shown for comparison"
    )
    return {**({"warnings": [warning]} if warning else {}), "verdicts": verdicts, "how_to_read": read, **tables}
