"""Outcomes of patients: endpoints, curves, tests between groups, and measures of a prediction."""

from omics.outcome.adjusted import adjusted
from omics.outcome.calibration import calibration_table, decision_curve
from omics.outcome.comparison import GroupTest, compare, gray_test, logrank_test
from omics.outcome.covariates import covariates_of
from omics.outcome.curves import cumulative_incidence, kaplan_meier
from omics.outcome.endpoints import ENDPOINTS, Endpoint, endpoint, endpoint_named, relapse_timing, supported
from omics.outcome.horizon import as_class, within
from omics.outcome.metrics import Interval, auc, auc_difference, auc_interval, brier, brier_interval
from omics.outcome.performance import concordance, concordance_difference, integrated_brier, performance
from omics.outcome.predictors import OUTCOME_COLUMNS, Chosen, predictors, refuse_relapse_samples, with_timing
from omics.outcome.regression import Regression, cox, fine_gray, proportional_hazards_test, transplant_intervals
from omics.outcome.solutions import over_solutions

__all__ = [
    "ENDPOINTS",
    "OUTCOME_COLUMNS",
    "Chosen",
    "Endpoint",
    "GroupTest",
    "Interval",
    "Regression",
    "adjusted",
    "as_class",
    "auc",
    "auc_difference",
    "auc_interval",
    "brier",
    "brier_interval",
    "calibration_table",
    "compare",
    "concordance",
    "concordance_difference",
    "covariates_of",
    "cox",
    "cumulative_incidence",
    "decision_curve",
    "endpoint",
    "endpoint_named",
    "fine_gray",
    "gray_test",
    "integrated_brier",
    "kaplan_meier",
    "logrank_test",
    "over_solutions",
    "performance",
    "predictors",
    "proportional_hazards_test",
    "refuse_relapse_samples",
    "relapse_timing",
    "supported",
    "transplant_intervals",
    "with_timing",
    "within",
]
