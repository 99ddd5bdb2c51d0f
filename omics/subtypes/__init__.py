"""Subtypes: clusters of patients on the factors, their stability against a null, and agreement with known labels."""

from omics.subtypes.agreement import agreement
from omics.subtypes.clustering import Subtypes

__all__ = ["Subtypes", "agreement"]
