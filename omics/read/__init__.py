"""Read the files of a cohort as consortia hand them over, and write them into one store."""

from omics.read.calls import read_calls, read_patients
from omics.read.clinical import INPUTS
from omics.read.ingest import Sources, ingest
from omics.read.match import Account

__all__ = ["INPUTS", "Account", "Sources", "ingest", "read_calls", "read_patients"]
