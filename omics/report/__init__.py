"""The report: one self-contained HTML page that a clinician can open, print and send on."""

from omics.report.page import write_report

__all__ = ["write_report"]
