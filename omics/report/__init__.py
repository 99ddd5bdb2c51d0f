"""The report: one self-contained HTML page that a clinician can open, print and send on."""

from omics.report.page import write_report
from omics.report.patient import Patient, patient_page

__all__ = ["Patient", "patient_page", "write_report"]
