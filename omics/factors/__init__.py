"""Factors of omics layers: MOFA, fitted by an engine, and the posterior of patients whom the fit has not seen."""

from omics.factors.mofa import ENGINES, MOFA

__all__ = ["ENGINES", "MOFA"]
