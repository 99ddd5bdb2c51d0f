"""One visit to a block of a binary or count view, in which the noise precision depends on the sample.

Each feature in turn: the bound is made to touch at the present ``eta = b + z'w`` (which gives pseudo-data and their
precision), the intercept and the weights are updated, and what the factors need to know is added up. Such views are
narrow, so what is dense in samples stays within one feature.

Bernoulli (Jaakkola and Jordan 2000): ``ln sigmoid`` is bounded by a parabola that touches at ``zeta^2 = E[eta^2]``;
``tau = tanh(zeta/2) / (2 zeta)``, pseudo-data ``(y - 1/2) / tau``. Poisson (Seeger and Bouchard 2012), rate
``ln(1 + e^eta)``: touches at ``zeta = E[eta]``, ``tau = 1/4 + 0.17 y`` (mofapy2: the feature's largest y), pseudo-data
``zeta - f'(zeta) / tau``. With the intercept ``b`` each update is a coordinate ascent of one bound. mofapy2 has none,
but takes off the mean of the pseudo-data; with `compat` its numbers are followed, late precision and all.
"""

from __future__ import annotations

import math

import numpy as np

from omics.factors.block import BERNOULLI
from omics.factors.kernels import add_row, copy, exp_negative, fill_row, jit, log, pair, spans_of, switched, unswitched

_RATE_FLOOR = 1e-4


@jit
def visit_pointwise(block, moments, prior, fits, mode, old, new, sums):
    """Visit all features of a block; fills `new` (Learned) and adds to `sums`."""
    n_samples = moments.mean.shape[1]
    eta, second = np.empty(n_samples), np.empty(n_samples)
    pseudo, tau = np.empty(n_samples), np.empty(n_samples)
    spans = spans_of(fits)
    copy(old.mean, 0, new.mean, 0, fits[-1], block.n_features)
    copy(old.square, 0, new.square, 0, fits[-1], block.n_features)
    for f in range(fits.size - 1):
        low, high = fits[f], fits[f + 1]
        for d in range(block.n_features):
            y = block.values[d]
            _predict(low, high, d, moments, new, eta, second)
            if mode.compat:
                _touch_compat(f, d, y, block, mode, eta, second, old, new, pseudo, tau, sums)
            else:
                sums.data[f, 0] += _touch(f, d, y, block, eta, second, new, pseudo, tau)
            if mode.explain:
                _explain(f, low, high, d, block, moments, new, pseudo, tau, eta, sums)
            if mode.learn:
                _weights(low, high, d, moments, prior, pseudo, tau, eta, new, sums.prior)
            _tell(f, low, high, d, pseudo, tau, new, sums, spans[f])


@jit
def _predict(low, high, d, moments, state, eta, second):
    """``E[z'w]`` and ``E[(z'w)^2]`` for all samples."""
    eta[:] = 0.0
    second[:] = 0.0
    for k in range(low, high):
        w, w2 = np.float64(state.mean[k, d]), np.float64(state.square[k, d])
        z, z2 = moments.mean[k], moments.square[k]
        for n in range(eta.size):
            eta[n] += w * z[n]
            second[n] += w2 * z2[n] - w * w * z[n] * z[n]
    for n in range(eta.size):
        second[n] += eta[n] * eta[n]


@jit
def _sigmoid(x):
    e = math.exp(-abs(x))
    return 1.0 / (1.0 + e) if x >= 0.0 else e / (1.0 + e)


@jit
def _softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@jit
def _slope(zeta, e):
    """``tanh(zeta/2) / (2 zeta)`` with ``e = exp(-zeta)``; a series where that would cancel."""
    z = zeta * zeta
    series = 0.25 - z * (1 / 48 - z * (1 / 480 - z * (17 / 80640)))
    return (1.0 - e) / ((1.0 + e) * 2.0 * zeta) if zeta > 0.05 else series


@jit
def _touch_bernoulli(b, start, stop, y, eta, second, pseudo, tau):
    """Pseudo-data of binary data, their precision (0 where missing), and the bound's constant; spoils `second`."""
    for n in range(start, stop):
        known = y[n] == y[n]
        zeta = math.sqrt(max(second[n] + b * (b + 2.0 * eta[n]), 1e-12))
        e = exp_negative(zeta)
        slope = _slope(zeta, e)
        hit = (y[n] - 0.5) / slope
        bound = 0.5 * slope * (hit * hit + zeta * zeta) - 0.5 * zeta - log(1.0 + e)
        tau[n] = slope if known else 0.0
        pseudo[n] = hit if known else 0.0
        second[n] = bound if known else 0.0
    constant = 0.0
    for n in range(start, stop):
        constant += second[n]
    return constant


@jit
def _touch_poisson(b, start, stop, y, eta, pseudo, tau):
    """The same of counts."""
    constant = 0.0
    for n in range(start, stop):
        if np.isnan(y[n]):
            pseudo[n] = tau[n] = 0.0
            continue
        zeta = b + eta[n]
        # y / rate times the sigmoid, which tends to y where both tend to 0
        rate = _softplus(zeta)
        hit = y[n] * (_sigmoid(zeta) / rate if zeta > -30.0 else 1.0)
        slope = _sigmoid(zeta) - hit
        tau[n] = 0.25 + 0.17 * y[n]
        pseudo[n] = zeta - slope / tau[n]
        log_rate = math.log(rate) if zeta > -30.0 else zeta
        constant += 0.5 * slope * slope / tau[n] - rate + y[n] * log_rate
    return constant


@jit
def _touch(f, d, y, block, eta, second, new, pseudo, tau):
    """Pseudo-data less the updated intercept, and their precision (0 where missing); returns the bound's constant."""
    constant = 0.0
    for g in range(block.bounds.size - 1):
        b = new.intercept[f, g, d]
        total = weight = 0.0
        start, stop = block.bounds[g], min(block.bounds[g + 1], eta.size)
        if block.likelihood == BERNOULLI:
            constant += _touch_bernoulli(b, start, stop, y, eta, second, pseudo, tau)
        else:
            constant += _touch_poisson(b, start, stop, y, eta, pseudo, tau)
        for n in range(start, stop):
            total += tau[n] * (pseudo[n] - eta[n])
            weight += tau[n]
        b = total / weight if weight > 0.0 else b
        new.intercept[f, g, d] = b
        new.tau[f, g, d] = block.curvature[d]
        for n in range(start, stop):
            if tau[n] > 0.0:
                pseudo[n] -= b
    return constant


@jit
def _touch_compat(f, d, y, block, mode, eta, second, old, new, pseudo, tau, sums):
    """The same in mofapy2's way; the bound that is added up is that of the state before this visit."""
    bernoulli = block.likelihood == BERNOULLI
    zeta = new.zeta[f, d]
    shift = 0.0
    curvature = block.curvature[d]
    for n in range(eta.size):
        known = not np.isnan(y[n])
        value = y[n] if known else 0.0
        late = old.zeta[f, d, n]
        if not mode.noise:  # nothing was touched before: the bound is that of the start
            late = math.sqrt(second[n]) if bernoulli else eta[n]
        if bernoulli:
            if known:
                sums.data[f, 0] += 0.5 * ((2.0 * value - 1.0) * eta[n] - late) - math.log1p(math.exp(-late))
                sums.data[f, 0] -= math.tanh(0.5 * late) / (4.0 * late) * (second[n] - late * late)
            zeta[n] = math.sqrt(second[n])
            pseudo[n] = (2.0 * value - 1.0) / (math.tanh(0.5 * zeta[n]) / zeta[n])
            tau[n] = math.tanh(0.5 * late) / (2.0 * late) if mode.noise else 1.0
        else:
            if known:
                sums.data[f, 0] += _poisson_bound(value, eta[n], second[n], late, curvature)
            zeta[n] = eta[n]
            rate = math.log(1.0 + math.exp(zeta[n])) + _RATE_FLOOR
            pseudo[n] = zeta[n] - _sigmoid(zeta[n]) * (1.0 - value / rate) / curvature if known else 0.0
            tau[n] = curvature
        shift += pseudo[n]
        tau[n] = tau[n] if known else 0.0
    shift /= eta.size
    for n in range(eta.size):
        pseudo[n] -= shift
    for g in range(block.bounds.size - 1):
        new.intercept[f, g, d] = shift
        new.tau[f, g, d] = curvature


@jit
def _poisson_bound(y, mean, second, zeta, curvature):
    rate = math.log(1.0 + math.exp(zeta)) + _RATE_FLOOR
    slope = _sigmoid(zeta) * (1.0 - y / rate)
    distance = second - 2.0 * mean * zeta + zeta * zeta
    return -(0.5 * curvature * distance + (mean - zeta) * slope + rate - y * math.log(rate))


@jit
def _explain(f, low, high, d, block, moments, new, pseudo, tau, eta, sums):
    """Add up what the variance explained of the pseudo-data needs, over observed entries."""
    for g in range(block.bounds.size - 1):
        for n in range(block.bounds[g], min(block.bounds[g + 1], eta.size)):
            if tau[n] > 0.0:
                sums.residual[0, f, g] += (pseudo[n] - eta[n]) ** 2
                sums.residual[1, f, g] += pseudo[n] ** 2
                for k in range(low, high):
                    zw = moments.mean[k, n] * new.mean[k, d]
                    sums.explained[g, k] += zw * (2.0 * pseudo[n] - zw)


@jit
def _weights(low, high, d, moments, prior, pseudo, tau, eta, new, sums):
    """Update the weights of one feature in sequence; `eta` follows them."""
    n_samples = eta.size
    error = np.empty(n_samples)
    c, p, h = np.empty(1), np.empty(1), np.empty(1)
    mean, square = np.empty(1), np.empty(1)
    for n in range(n_samples):
        error[n] = tau[n] * (pseudo[n] - eta[n])
    for k in range(low, high):
        z, z2 = moments.mean[k], moments.square[k]
        linear = own = quad = 0.0
        for n in range(n_samples):
            linear += z[n] * error[n]
            own += tau[n] * z[n] * z[n]
            quad += tau[n] * z2[n]
        before = np.float64(new.mean[k, d])
        c[0] = linear + own * before
        p[0] = quad + prior.alpha[k]
        if prior.spike:
            switched(c, p, h, prior.alpha[k], prior.log_odds[k], prior.entropy, mean, square, sums[k])
        else:
            unswitched(c, p, mean, square, sums[k])
        new.mean[k, d], new.square[k, d] = mean[0], square[0]
        step = mean[0] - before
        for n in range(n_samples):
            error[n] -= step * tau[n] * z[n]


@jit
def _tell(f, low, high, d, pseudo, tau, new, sums, start):
    """Add ``tau y^2``, ``tau y w``, and tau times the second moments of w, as something negative to be taken off."""
    energy = 0.0
    for n in range(tau.size):
        energy += tau[n] * pseudo[n] * pseudo[n]
    sums.data[f, 3] += energy
    for k in range(low, high):
        linear = sums.linear[k]
        weight = np.float64(new.mean[k, d])
        for n in range(tau.size):
            linear[n] += weight * tau[n] * pseudo[n]
    row = np.zeros(pair(high - low + 1, -1))
    fill_row(low, high, d, new.mean, new.square, row)
    for n in range(tau.size):
        add_row(-tau[n], row, sums.local[n, start : start + row.size])
