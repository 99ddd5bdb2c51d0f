"""Outcomes of patients: endpoints, curves, tests between groups, and measures of a prediction."""

from omics.outcome.comparison import GroupTest, compare, gray_test, logrank_test
from omics.outcome.curves import cumulative_incidence, kaplan_meier
from omics.outcome.endpoints import ENDPOINTS, Endpoint, endpoint, endpoint_named, relapse_timing, supported
from omics.outcome.horizon import as_class, within
from omics.outcome.metrics import Interval, auc, auc_difference, auc_interval, brier, brier_interval
from omics.outcome.predictors import OUTCOME_COLUMNS, Chosen, predictors, refuse_relapse_samples, with_timing

__all__ = [
    "ENDPOINTS",
    "OUTCOME_COLUMNS",
    "Chosen",
    "Endpoint",
    "GroupTest",
    "Interval",
    "as_class",
    "auc",
    "auc_difference",
    "auc_interval",
    "brier",
    "brier_interval",
    "compare",
    "cumulative_incidence",
    "endpoint",
    "endpoint_named",
    "gray_test",
    "kaplan_meier",
    "logrank_test",
    "predictors",
    "refuse_relapse_samples",
    "relapse_timing",
    "supported",
    "with_timing",
    "within",
]
