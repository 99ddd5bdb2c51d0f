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
    add_products,
    add_row,
    coordinate,
    copy,
    fill_row,
    jit,
    log,
    pair,
    product_in,
    product_out,
    spans_of,
)

#: Prior of tau, Gamma(shape, rate).
NOISE_SHAPE = NOISE_RATE = 1e-3
_LOG_NOISE_RATE, _LOG_GAMMA_NOISE_SHAPE = -6.907755278982137, 6.907178885383854
#: Features after which float32 sums are added to float64.
_FLUSH = 512


#: Columns of what tiles lack: with a power of two, all rows would fall on the same lines of the cache.
_COLUMNS = TILE + 8


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
    spans = spans_of(fits)
    lack = np.empty((n_groups, spans[-1] if block.missing.size else 1, _COLUMNS), moments.rows.dtype)
    complete = np.empty((0, _COLUMNS), moments.rows.dtype)
    for first in range(0, block.n_features, TILE):
        width = min(TILE, block.n_features - first)
        _read(first, width, block, moments, raw)
        copy(old.mean, first, mean, 0, n_factors, width)
        copy(old.square, first, square, 0, n_factors, width)
        incomplete = block.missing.size and block.starts[first] < block.starts[first + width]
        for f in range(n_fits):
            if incomplete:
                _lacking(first, width, block, moments.rows, spans[f], spans[f + 1], lack)
            noise(
                f,
                first,
                width,
                block,
                moments,
                fits,
                mode,
                raw,
                mean,
                square,
                incomplete,
                lack,
                old,
                share[f],
                new,
                sums,
            )
            if mode.learn:
                _combine(fits[f], fits[f + 1], width, moments, raw, share[f], linear, quad)
                if incomplete:
                    _by_tau(fits[f], fits[f + 1], width, share[f], lack, quad)
                data = Data(linear, quad, share[f], moments.gram, lack[0] if incomplete else complete)
                coordinate(fits[f], fits[f + 1], width, data, prior, mean, square, sums.prior)
            _gather(fits[f], fits[f + 1], width, share[f], mean, square, sums)
            if incomplete:
                _take_off(fits[f], fits[f + 1], first, width, block, share[f], mean, square, spans[f], sums.local)
        copy(mean, 0, new.mean, first, n_factors, width)
        copy(square, 0, new.square, first, n_factors, width)
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
        for k in range(n_factors):
            for t in range(width):
                raw[g, k, t] = moments.inverse[g] * product[k, t]


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
def _flush(some, total):
    """Add what was summed in the precision of the data."""
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            total[i, j] += some[i, j]
    for i in range(some.shape[0]):
        for j in range(some.shape[1]):
            some[i, j] = 0


@jit
def _lacking(first, width, block, rows, low, high, lack):
    """Add up the rows of moments of the samples that features lack, by group (samples are sorted by it): one fit's.

    `lack` has shape (G, >= entry of a row, >= feature); a fit's entries are those from `low` to `high` of `rows`.
    """
    total = np.empty(high - low, rows.dtype)
    for t in range(width):
        e, end = block.starts[first + t], block.starts[first + t + 1]
        for g in range(lack.shape[0]):
            total[:] = 0.0
            while e < end and block.missing[e] < block.bounds[g + 1]:
                add_row(rows.dtype.type(1), rows[block.missing[e], low:high], total)
                e += 1
            for p in range(total.size):
                lack[g, p, t] = total[p]


@jit
def noise(f, first, width, block, moments, fits, mode, raw, mean, square, incomplete, lack, old, tau, new, sums):
    """Tau of one fit in one tile: ``b = b0 + sum_n E[(y - z'w)^2] / 2``, ``E[tau] = a / b``.

    ``sum_n E[(y - z'w)^2] = sum y^2 - 2 w'B + w'Gw - sum_k G_kk w_k^2 + sum_k E[z_k^2] E[w_k^2]``.
    """
    low, high = fits[f], fits[f + 1]
    plain, spread = np.empty(width), np.empty(width)
    for g in range(raw.shape[0]):
        unit = moments.inverse[g] * moments.inverse[g]
        y2 = block.square[g, first : first + width]
        for t in range(width):
            plain[t] = unit * y2[t]
            spread[t] = 0.0
        _squares(g, low, high, width, moments, mode, raw, mean, square, plain, spread, sums)
        if incomplete:
            _less_squares(g, low, high, width, mode, mean, square, lack, plain, spread, sums)
        if mode.explain:
            for t in range(width):
                sums.residual[0, f, g] += plain[t]
                sums.residual[1, f, g] += unit * y2[t]
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
def _less_squares(g, low, high, width, mode, mean, square, lack, plain, spread, sums):
    """Take the samples of group g that features lack off the same."""
    h = np.empty(width)
    n_factors = high - low
    for i in range(n_factors):
        own, second, w = lack[g, pair(i, i)], lack[g, pair(n_factors, i)], mean[low + i]
        for t in range(width):
            h[t] = 0.5 * own[t] * w[t]
            spread[t] -= second[t] * square[low + i, t] - own[t] * w[t] * w[t]
        for m in range(i):
            row, other = lack[g, pair(i, m)], mean[low + m]
            for t in range(width):
                h[t] += row[t] * other[t]
        for t in range(width):
            plain[t] -= 2.0 * h[t] * w[t]
        if mode.explain:
            s = 0.0
            for t in range(width):
                s += own[t] * w[t] * w[t]
            sums.explained[g, low + i] += s


@jit
def _tau(f, g, first, width, unit, block, mode, plain, spread, old, tau, new, sums):
    """Turn expected squares into E[tau], and add up this group's part of the bound."""
    here = slice(first, first + width)
    shape, digamma, log_gamma = block.shape[0, g, here], block.shape[1, g, here], block.shape[2, g, here]
    square, before, after, own = block.square[g, here], old.tau[f, g, here], new.tau[f, g, here], tau[g]
    for t in range(width):
        b = NOISE_RATE + max(0.5 * (plain[t] + spread[t]), 0.0)
        plain[t], spread[t] = b, log(b)
        own[t] = shape[t] / b if mode.noise else before[t]
        after[t] = own[t]
    likelihood = weighted = divergence = energy = 0.0
    for t in range(width):
        a, b, log_b, expected = shape[t], plain[t], spread[t], own[t]
        log_tau = digamma[t] - log_b
        likelihood += log_tau * (a - NOISE_SHAPE)
        weighted += expected * (b - NOISE_RATE)
        divergence += (NOISE_SHAPE - 1.0) * log_tau - NOISE_RATE * expected - a * log_b + log_gamma[t]
        divergence += NOISE_SHAPE * _LOG_NOISE_RATE - _LOG_GAMMA_NOISE_SHAPE - (a - 1.0) * log_tau + b * expected
        energy += expected * unit * square[t]
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
def _by_tau(low, high, width, tau, lack, quad):
    """Add up by tau what features lack: in place of the first group's, and taken off `quad`."""
    for p in range(pair(high - low + 1, -1)):
        for t in range(width):
            lack[0, p, t] *= tau[0, t]
        for g in range(1, tau.shape[0]):
            for t in range(width):
                lack[0, p, t] += tau[g, t] * lack[g, p, t]
    for i in range(high - low):
        for t in range(width):
            quad[low + i, t] -= lack[0, pair(high - low, i), t]


@jit
def _gather(low, high, width, tau, mean, square, sums):
    """Add this tile to ``gram = sum_d tau w w'`` and ``quad = sum_d tau E[w^2]``."""
    tw = np.empty(width)
    for g in range(tau.shape[0]):
        for k in range(low, high):
            s = 0.0
            for t in range(width):
                s += tau[g, t] * square[k, t]
            sums.quad[g, k] += s
            for t in range(width):
                tw[t] = tau[g, t] * mean[k, t]
            for m in range(k - low + 1):
                other = mean[low + m]
                s = 0.0
                for t in range(width):
                    s += tw[t] * other[t]
                sums.gram[g, k, m] += s
                if m < k - low:
                    sums.gram[g, low + m, k - low] += s


@jit
def _take_off(low, high, first, width, block, tau, mean, square, start, local):
    """Add tau times the rows of moments of the weights to what is taken off for the samples that features lack."""
    row = np.zeros(pair(high - low + 1, -1), local.dtype)
    stop = start + row.size
    for t in range(width):
        e, end = block.starts[first + t], block.starts[first + t + 1]
        if e < end:
            fill_row(low, high, t, mean, square, row)
        for g in range(tau.shape[0]):
            while e < end and block.missing[e] < block.bounds[g + 1]:
                add_row(local.dtype.type(tau[g, t]), row, local[block.missing[e], start:stop])
                e += 1
