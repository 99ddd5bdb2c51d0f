"""Outcomes of patients: endpoints, curves, tests between groups, and measures of a prediction."""

from omics.outcome.comparison import GroupTest, compare, gray_test, logrank_test
from omics.outcome.curves import cumulative_incidence, kaplan_meier
from omics.outcome.endpoints import event_free, first_event, overall, relapse_within, supported
from omics.outcome.metrics import Interval, auc, auc_difference, auc_interval, brier, brier_interval

__all__ = [
    "GroupTest",
    "Interval",
    "auc",
    "auc_difference",
    "auc_interval",
    "brier",
    "brier_interval",
    "compare",
    "cumulative_incidence",
    "event_free",
    "first_event",
    "gray_test",
    "kaplan_meier",
    "logrank_test",
    "overall",
    "relapse_within",
    "supported",
]
