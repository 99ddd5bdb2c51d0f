"""Pseudo-data: curvature against numerical derivatives, and what happens far from zero."""

from __future__ import annotations

import numpy as np
import pytest

from omics.factors.likelihoods import PSEUDO


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_curvature_is_the_derivative_of_the_slope(likelihood):
    """The slope ``tau (pseudo - E[z'w])`` of the bound, differentiated numerically, variance of z'w held fixed."""
    mean, b, variance, step = np.linspace(-20, 20, 81), np.array(0.7), 0.3, 1e-5
    y, precision = np.resize([0.0, 1.0], 81), np.full(81, 0.6)

    def slope(m):
        pseudo = PSEUDO[likelihood, False](y, m, m**2 + variance, b, precision)
        return pseudo.precision * (pseudo.values - m)

    curvature = PSEUDO[likelihood, False](y, mean, mean**2 + variance, b, precision).curvature
    numeric = -(slope(mean + step) - slope(mean - step)) / (2 * step)
    np.testing.assert_allclose(curvature, numeric, atol=1e-8)


def test_poisson_pseudo_data_at_extreme_predictors():
    """Far below, the slope tends to -y; far above, to 1 - y / zeta."""
    y, b = np.array([0.0, 3.0, 0.0, 3.0]), np.zeros(4)
    zeta = np.array([-5000.0, -5000.0, 5000.0, 5000.0])
    pseudo = PSEUDO["poisson", False](y, zeta, zeta**2, b, np.full(4, np.nan))
    slope = np.array([0.0, -3.0, 1.0, 1 - 3 / 5000])
    np.testing.assert_allclose(pseudo.values, zeta - slope / (0.25 + 0.17 * y), rtol=1e-13)
    assert np.isfinite(pseudo.curvature).all()
