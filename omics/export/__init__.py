"""Whole analyses for other programs: one .h5mu file, or tidy tables that explain their columns."""

from omics.export.h5mu import write_h5mu
from omics.export.tables import COLUMNS, Table, dictionary, frames, tables, write_table, write_values

__all__ = ["COLUMNS", "Table", "dictionary", "frames", "tables", "write_h5mu", "write_table", "write_values"]
