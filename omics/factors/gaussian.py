"""One visit to a block of a Gaussian view: noise, then weights, then what the factors need to know, in one reading.

Per tile of features: ``B = Y'Z``; the noise of the iteration before; the weights; ``sum tau y w``, ``sum tau w w'``.
Where entries are missing, the full Gram matrix of the factors less the sum over the missing entries is used, so the
cost grows with their number and no mask is made. Everything is written to new arrays.
"""

from __future__ import annotations

import numpy as np

from omics.factors.kernels import (
    TILE,
    Data,
    Holes,
    add_products,
    coordinate,
    jit,
    log,
    product_in,
    product_out,
)

#: Prior of tau, Gamma(shape, rate).
NOISE_SHAPE = NOISE_RATE = 1e-3
_LOG_NOISE_RATE, _LOG_GAMMA_NOISE_SHAPE = -6.907755278982137, 6.907178885383854
#: Features after which float32 sums are added to float64.
_FLUSH = 512


@jit
def visit(block, moments, prior, fits, mode, old, new, sums):
    """Visit all features of a block; fills `new` (Learned) and adds to `sums`."""
    n_factors, n_groups, n_fits = fits[-1], block.bounds.size - 1, fits.size - 1
    padded = moments.scores.shape[0]
    raw = np.empty((n_groups, n_factors, TILE))
    rows = n_factors + moments.gram.shape[2]  # the last fit's matrices may be wider than the fit
    mean, square = np.zeros((rows, TILE)), np.zeros((rows, TILE))
    linear, quad = np.empty((n_factors, TILE)), np.empty((n_factors, TILE))
    share = np.empty((n_fits, n_groups, TILE))
    out = np.zeros((padded, block.values.shape[1]), block.values.dtype)
    incomplete = block.missing.size > 0
    local = np.zeros((0, 0, 0))
    for first in range(0, block.n_features, TILE):
        width = min(TILE, block.n_features - first)
        _read(first, width, block, moments, raw)
        mean[:n_factors, :width] = old.mean[:, first : first + width]
        square[:n_factors, :width] = old.square[:, first : first + width]
        for f in range(n_fits):
            noise(f, first, width, block, moments, fits, mode, raw, mean, square, old, share[f], new, sums)
        for f in range(n_fits):
            _combine(fits[f], fits[f + 1], width, moments, raw, share[f], linear, quad)
            if mode.learn:
                holes = holes_of(f, first, width, block, moments, fits, share, mean, incomplete)
                data = Data(linear, quad, share[f], moments.gram, local, holes)
                coordinate(fits[f], fits[f + 1], width, data, prior, mean, square, sums.prior)
            _gather(fits[f], fits[f + 1], width, share[f], mean, square, sums)
        if incomplete:
            lacked(first, width, block, fits, share, mean, square, sums)
        new.mean[:, first : first + width] = mean[:n_factors, :width]
        new.square[:, first : first + width] = square[:n_factors, :width]
        _write(first, width, block, moments, fits, share, mean, out)
        if first % _FLUSH == _FLUSH - TILE:
            _flush(out, sums.linear)
    _flush(out, sums.linear)


@jit
def _read(first, width, block, moments, raw):
    """``B = Y'Z`` of a tile, by group."""
    n_factors = raw.shape[1]
    product = np.empty((moments.scores.shape[0], TILE), block.values.dtype)
    last = first + (width + 3) // 4 * 4
    for g in range(raw.shape[0]):
        product_in(block.values, first, last, block.bounds[g], block.bounds[g + 1], moments.scores, product)
        raw[g, :, :width] = moments.inverse[g] * product[:n_factors, :width]


@jit
def _write(first, width, block, moments, fits, share, mean, out):
    """Add ``sum_d tau y w`` of a tile to `out`."""
    weighted = np.zeros((out.shape[0], TILE), out.dtype)
    last = first + (width + 3) // 4 * 4
    for g in range(share.shape[1]):
        for f in range(share.shape[0]):
            for k in range(fits[f], fits[f + 1]):
                for t in range(width):
                    weighted[k, t] = moments.inverse[g] * share[f, g, t] * mean[k, t]
        product_out(block.values, first, last, block.bounds[g], block.bounds[g + 1], weighted, out)


@jit
def _flush(out, linear):
    for k in range(linear.shape[0]):
        for n in range(linear.shape[1]):
            linear[k, n] += out[k, n]
    out[:] = 0


@jit
def noise(f, first, width, block, moments, fits, mode, raw, mean, square, old, tau, new, sums):
    """Tau of one fit in one tile: ``b = b0 + sum_n E[(y - z'w)^2] / 2``, ``E[tau] = a / b``.

    ``sum_n E[(y - z'w)^2] = sum y^2 - 2 w'B + w'Gw - sum_k G_kk w_k^2 + sum_k E[z_k^2] E[w_k^2]``.
    """
    low, high = fits[f], fits[f + 1]
    plain, spread = np.empty(width), np.empty(width)
    for g in range(raw.shape[0]):
        unit = moments.inverse[g] * moments.inverse[g]
        for t in range(width):
            plain[t] = unit * block.square[g, first + t]
            spread[t] = 0.0
        _squares(g, low, high, width, moments, mode, raw, mean, square, plain, spread, sums)
        if block.missing.size:
            _absent(g, first, width, block, moments, low, high, mode, mean, square, plain, spread, sums)
        if mode.explain:
            for t in range(width):
                sums.residual[0, f, g] += plain[t]
                sums.residual[1, f, g] += unit * block.square[g, first + t]
        _tau(f, g, first, width, unit, block, mode, plain, spread, old, tau, new, sums)


@jit
def _squares(g, low, high, width, moments, mode, raw, mean, square, plain, spread, sums):
    """Add ``w'Gw - 2 w'B`` to `plain`, and what the variances of z and w add to `spread`."""
    h = np.empty(width)
    for k in range(low, high):
        own, second = moments.gram[g, k, k - low], moments.quad[g, k]
        for t in range(width):
            h[t] = -2.0 * raw[g, k, t]
            spread[t] += second * square[k, t] - own * mean[k, t] * mean[k, t]
        add_products(moments.gram[g, k], low, width, mean, h)
        for t in range(width):
            plain[t] += h[t] * mean[k, t]
        if mode.explain:
            s = 0.0
            for t in range(width):
                s += 2.0 * raw[g, k, t] * mean[k, t] - own * mean[k, t] * mean[k, t]
            sums.explained[g, k] += s


@jit
def _absent(g, first, width, block, moments, low, high, mode, mean, square, plain, spread, sums):
    """Take the missing entries of group g off the squares of the fitted values."""
    w, w2 = np.empty(high - low), np.empty(high - low)
    for t in range(width):
        for k in range(low, high):
            w[k - low], w2[k - low] = mean[k, t], square[k, t]
        for e in range(block.starts[first + t], block.starts[first + t + 1]):
            n = block.missing[e]
            if not block.bounds[g] <= n < block.bounds[g + 1]:
                continue
            z, z2 = moments.by_sample[n, low:high], moments.square_by_sample[n, low:high]
            fitted = extra = 0.0
            for i in range(z.size):
                zw = z[i] * w[i]
                fitted += zw
                extra += z2[i] * w2[i] - zw * zw
            plain[t] -= fitted * fitted
            spread[t] -= extra
            if mode.explain:
                for i in range(z.size):
                    sums.explained[g, low + i] += (z[i] * w[i]) ** 2


@jit
def _group_of(block, n):
    """Group of a sample."""
    return np.searchsorted(block.bounds, n, side="right") - 1 if block.bounds.size > 2 else 0


@jit
def _tau(f, g, first, width, unit, block, mode, plain, spread, old, tau, new, sums):
    """Turn expected squares into E[tau], and add up this group's part of the bound."""
    likelihood = weighted = divergence = energy = 0.0
    for t in range(width):
        d = first + t
        a, digamma, log_gamma = block.shape[0, g, d], block.shape[1, g, d], block.shape[2, g, d]
        excess = 0.5 * (plain[t] + spread[t])
        b = NOISE_RATE + max(excess, 0.0)
        expected = a / b if mode.noise else old.tau[f, g, d]
        log_b = log(b)
        log_tau = digamma - log_b
        likelihood += log_tau * (a - NOISE_SHAPE)
        weighted += expected * (b - NOISE_RATE)
        divergence += (NOISE_SHAPE - 1.0) * log_tau - NOISE_RATE * expected - a * log_b + log_gamma
        divergence += NOISE_SHAPE * _LOG_NOISE_RATE - _LOG_GAMMA_NOISE_SHAPE - (a - 1.0) * log_tau + b * expected
        energy += expected * unit * block.square[g, d]
        tau[g, t] = expected
        new.tau[f, g, d] = expected
    sums.data[f, 0] += likelihood
    sums.data[f, 1] += weighted
    sums.data[f, 2] += divergence
    sums.data[f, 3] += energy


@jit
def _combine(low, high, width, moments, raw, tau, linear, quad):
    """``linear = sum_g tau_g B_g`` and ``quad = sum_g tau_g sum_n E[z^2]``."""
    for k in range(low, high):
        for t in range(width):
            linear[k, t] = quad[k, t] = 0.0
        for g in range(raw.shape[0]):
            for t in range(width):
                linear[k, t] += tau[g, t] * raw[g, k, t]
                quad[k, t] += tau[g, t] * moments.quad[g, k]


@jit
def holes_of(f, first, width, block, moments, fits, share, mean, incomplete):
    """Missing entries of a tile as one fit sees them."""
    if not incomplete:
        nothing = np.zeros(0)
        return Holes(
            np.zeros(0, np.int64), block.missing, nothing, moments.by_sample, moments.square_by_sample, nothing
        )
    starts = block.starts[first : first + width + 1] - block.starts[first]
    others = block.missing[block.starts[first] : block.starts[first + width]]
    tau, fitted = np.empty(others.size), np.empty(others.size)
    w = np.empty(fits[f + 1] - fits[f])
    for t in range(width):
        for i in range(w.size):
            w[i] = mean[fits[f] + i, t]
        for e in range(starts[t], starts[t + 1]):
            z = moments.by_sample[others[e], fits[f] :]
            s = 0.0
            for i in range(w.size):
                s += z[i] * w[i]
            fitted[e] = s
            tau[e] = share[f, _group_of(block, others[e]), t]
    return Holes(starts, others, tau, moments.by_sample, moments.square_by_sample, fitted)


@jit
def lacked(first, width, block, fits, share, mean, square, sums):
    """Add ``sum_d tau w w'`` and ``sum_d tau E[w^2]`` over missing entries to what is taken off for single samples.

    The lower half of ``w w'`` is made once a feature, as one long row: adding it is then one loop of vectors an entry.
    """
    n_factors, columns = fits[-1], sums.local.shape[2]
    local = sums.local.reshape(sums.local.shape[0], n_factors * columns)
    outer, w2 = np.zeros(n_factors * columns), np.zeros(n_factors)
    for t in range(width):
        start, stop = block.starts[first + t], block.starts[first + t + 1]
        if start == stop:
            continue
        for f in range(fits.size - 1):
            for k in range(fits[f], fits[f + 1]):
                w2[k] = square[k, t]
                for m in range(k - fits[f] + 1):
                    outer[k * columns + m] = mean[k, t] * mean[fits[f] + m, t]
        for e in range(start, stop):
            n = block.missing[e]
            g = _group_of(block, n)
            for f in range(fits.size - 1):
                tau, low, high = share[f, g, t], fits[f], fits[f + 1]
                row, some = local[n, low * columns : high * columns], outer[low * columns : high * columns]
                for i in range(row.size):
                    row[i] += tau * some[i]
                for k in range(low, high):
                    sums.local_quad[n, k] += tau * w2[k]


@jit
def _gather(low, high, width, tau, mean, square, sums):
    """Add this tile to ``gram = sum_d tau w w'`` (lower half) and ``quad = sum_d tau E[w^2]``."""
    tw = np.empty(width)
    for g in range(tau.shape[0]):
        for k in range(low, high):
            s = 0.0
            for t in range(width):
                tw[t] = tau[g, t] * mean[k, t]
                s += tau[g, t] * square[k, t]
            sums.quad[g, k] += s
            for m in range(k - low + 1):
                other = mean[low + m]
                s = 0.0
                for t in range(width):
                    s += tw[t] * other[t]
                sums.gram[g, k, m] += s
