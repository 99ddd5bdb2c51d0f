"""Subtypes: clusters of patients on the factors, whether they are real, what they are, and whether they come back."""

from omics.columns import is_outcome
from omics.subtypes.agreement import agreement
from omics.subtypes.algorithms import ALGORITHMS, Algorithm
from omics.subtypes.clustering import Subtypes
from omics.subtypes.enrichment import enrichment, factor_associations, following
from omics.subtypes.markers import markers, panels
from omics.subtypes.matching import UNASSIGNED, match, match_centres, rename
from omics.subtypes.novelty import verdicts
from omics.subtypes.replication import Replication, moves, replicate

__all__ = [
    "ALGORITHMS",
    "UNASSIGNED",
    "Algorithm",
    "Replication",
    "Subtypes",
    "agreement",
    "enrichment",
    "factor_associations",
    "following",
    "is_outcome",
    "markers",
    "match",
    "match_centres",
    "moves",
    "panels",
    "rename",
    "replicate",
    "verdicts",
]
