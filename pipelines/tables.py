"""Tables of an artefact as rows of plain values."""

from __future__ import annotations

from typing import Any

import xarray as xr

from omics import cohort
from omics.schema import NODES

Row = dict[str, Any]


def records(tree: xr.DataTree, name: str) -> list[Row]:
    """Rows of a table, their columns in the order in which the schema declares them; none where there is no table."""
    if name not in tree.children:
        return []
    dataset = cohort.node(tree, name)
    table = cohort.to_table(dataset)
    declared = [variable.name for variable in NODES[name] if variable.name in table]
    index = [] if dataset.sizes.get("row") is not None else list(table.index.names)
    rows = table.reset_index()[index + declared].to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
