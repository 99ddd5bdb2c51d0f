"""How many patients a prediction model needs before its figures mean anything."""

from __future__ import annotations

import math

from omics.schema import UsageError

#: Shrinkage of the effects that is still acceptable.
_SHRINKAGE = 0.9
#: Difference between apparent and adjusted Nagelkerke R2 that is still acceptable.
_OPTIMISM = 0.05
#: Half width of the interval of the overall risk that is still acceptable.
_PRECISION = 0.05
#: Share of the largest possible R2 that is expected where nothing better is known (Riley's recommendation).
_EXPECTED_SHARE = 0.15


def minimum_sample_size(n_parameters: int, risk: float, r2: float | None = None) -> int:
    """Patients needed to develop a model of a binary outcome, the largest of three criteria.

    With p parameters and R2 of Cox and Snell: ``p / ((S - 1) ln(1 - R2 / S))`` for shrinkage S = 0.9; the same with
    ``S = R2 / (R2 + 0.05 max R2)`` for little optimism; ``(1.96 / 0.05)^2 risk (1 - risk)`` for the overall risk.

    Parameters
    ----------
    n_parameters : int
        Predictors that are candidates, dummies counted each, before any selection.
    risk : float
        Share of patients with the event.
    r2 : float, optional
        Cox-Snell R2 that is expected; by default 15 % of the largest that is possible with this risk.

    Raises
    ------
    UsageError
        A value is out of range.

    References
    ----------
    Riley et al. BMJ 2020;368:m441.
    """
    if n_parameters < 1 or not 0 < risk < 1:
        raise UsageError(f"{n_parameters} parameters, risk {risk}", fix="give at least one parameter, and 0 < risk < 1")
    largest = 1.0 - (risk**risk * (1.0 - risk) ** (1.0 - risk)) ** 2
    expected = _EXPECTED_SHARE * largest if r2 is None else r2
    if not 0 < expected < largest:
        raise UsageError(f"R2 is {expected}", fix=f"with a risk of {risk:g} it lies between 0 and {largest:.3f}")
    needed = [
        _for_shrinkage(n_parameters, expected, shrinkage)
        for shrinkage in (_SHRINKAGE, expected / (expected + _OPTIMISM * largest))
    ]
    return math.ceil(max(*needed, (1.96 / _PRECISION) ** 2 * risk * (1.0 - risk)))


def _for_shrinkage(n_parameters: int, r2: float, shrinkage: float) -> float:
    return n_parameters / ((shrinkage - 1.0) * math.log(1.0 - r2 / shrinkage))
