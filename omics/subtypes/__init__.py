"""Subtypes: clusters of patients on the factors, their stability against a null, and agreement with known labels."""

from omics.subtypes.agreement import agreement
from omics.subtypes.algorithms import ALGORITHMS, Algorithm
from omics.subtypes.clustering import Subtypes
from omics.subtypes.markers import markers, panels

__all__ = ["ALGORITHMS", "Algorithm", "Subtypes", "agreement", "markers", "panels"]
