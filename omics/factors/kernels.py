"""The inner loops of the sweep, compiled: two thin products with a block, and coordinate updates of many items at once.

All arrays are factor-major (factor x item), so that every inner loop runs over neighbouring memory and becomes vector
instructions. Data and products may be float32; what is added up over features or samples is float64. No function here
needs Python's lock, and none draws random numbers or depends on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

#: Reordering of sums is allowed, wrong answers for NaN are not. A function is compiled into each of its callers: left
#: apart, each caller would bring a copy of its own, rounding in its own way, and which of them a process runs would
#: depend on what it compiled, loaded or called before. And a loop that adds up stores nothing: else the compiler asks
#: at run time whether arrays overlap, to add in another order if they might, which depends on where they happen to lie.
jit = numba.njit(nogil=True, cache=True, forceinline=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
inline = numba.njit(nogil=True, inline="always", error_model="numpy", fastmath={"reassoc", "contract", "nsz"})

#: Features that are updated together: what they need fits the second level of cache.
TILE = 128
#: Columns of the sums over items, by factor: S, E[w^2] with the spike's own, S ln s2, H(S).
SWITCH, SECOND, LOG_VARIANCE, ENTROPY = 0, 1, 2, 3


class Data(NamedTuple):
    """What the data say about some items (the features of a tile, or samples).

    Attributes
    ----------
    linear, quad : numpy.ndarray, shape (factor, item)
        ``sum tau y E[z]``, ``sum tau E[z^2]``; with E[w] in place of E[z] for samples.
    share : numpy.ndarray, shape (g, item)
        Weight of each matrix below for each item.
    gram : numpy.ndarray, shape (g, factor, multiple of 4)
        Matrices that many items share; columns are counted from the first factor of the fit, zero beyond the last.
    local : numpy.ndarray, shape (>= pairs of factors, >= item) or (0, any)
        What is taken off for each item: the lower half of a symmetric matrix of one fit, row after row.
    """

    linear: np.ndarray
    quad: np.ndarray
    share: np.ndarray
    gram: np.ndarray
    local: np.ndarray


_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_MANTISSA, _ONE = 0xFFFFFFFFFFFFF, 0x3FF0000000000000


@inline
def log(x):
    """Natural logarithm of a normal positive float64, to 1e-16 of its scale; the C library's cannot be vectorised."""
    bits = np.float64(x).view(np.int64)
    exponent = (bits >> 52) - 1023
    m = np.int64((bits & _MANTISSA) | _ONE).view(np.float64)
    upper = m > 1.4142135623730951
    m = m * 0.5 if upper else m
    e = np.float64(exponent + 1 if upper else exponent)
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    tail = 1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q * (1 / 15 + q * (1 / 17)))))))
    tail = tail + q**8 * (1 / 19 + q * (1 / 21))
    return e * _LN2_HIGH + (2.0 * s + (2.0 * s * q * tail + e * _LN2_LOW))


@inline
def exp_negative(x):
    """``exp(-x)`` for x >= 0, to 1e-15 relative; 0 beyond 700."""
    y = min(x, 700.0)
    n = np.floor(y * 1.4426950408889634 + 0.5)
    r = (n * _LN2_HIGH - y) + n * _LN2_LOW
    p = 1 / 720 + r * (1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800)))))
    p = p + r**6 * (1 / 479001600 + r * (1 / 6227020800))
    p = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * p)))))
    power = np.int64((1023 - np.int64(n)) << 52).view(np.float64)
    return p * power if x < 700.0 else 0.0


@jit
def copy(source, start, target, at, rows, width):
    """Columns of a matrix into columns of another; a loop, since numba takes seconds to compile a slice's."""
    for k in range(rows):
        one, other = source[k, start : start + width], target[k, at : at + width]
        for t in range(width):
            other[t] = one[t]


@jit
def product_in(values, first, last, start, stop, scores, out):
    """``out[k, t] = sum_n scores[k, n] values[first + t, n]`` over samples start..stop; four by four at a time."""
    zero = values.dtype.type(0)
    for d in range(first, last, 4):
        y0, y1, y2, y3 = (
            values[d, start:stop],
            values[d + 1, start:stop],
            values[d + 2, start:stop],
            values[d + 3, start:stop],
        )
        t = d - first
        for k in range(0, scores.shape[0], 4):
            z0, z1, z2, z3 = (
                scores[k, start:stop],
                scores[k + 1, start:stop],
                scores[k + 2, start:stop],
                scores[k + 3, start:stop],
            )
            a00 = a01 = a02 = a03 = a10 = a11 = a12 = a13 = zero
            a20 = a21 = a22 = a23 = a30 = a31 = a32 = a33 = zero
            for n in range(stop - start):  # from 0, so that no index can be negative and the loop becomes vectors
                v0, v1, v2, v3 = y0[n], y1[n], y2[n], y3[n]
                u0, u1, u2, u3 = z0[n], z1[n], z2[n], z3[n]
                a00 += u0 * v0
                a01 += u0 * v1
                a02 += u0 * v2
                a03 += u0 * v3
                a10 += u1 * v0
                a11 += u1 * v1
                a12 += u1 * v2
                a13 += u1 * v3
                a20 += u2 * v0
                a21 += u2 * v1
                a22 += u2 * v2
                a23 += u2 * v3
                a30 += u3 * v0
                a31 += u3 * v1
                a32 += u3 * v2
                a33 += u3 * v3
            out[k, t], out[k, t + 1], out[k, t + 2], out[k, t + 3] = a00, a01, a02, a03
            out[k + 1, t], out[k + 1, t + 1], out[k + 1, t + 2], out[k + 1, t + 3] = a10, a11, a12, a13
            out[k + 2, t], out[k + 2, t + 1], out[k + 2, t + 2], out[k + 2, t + 3] = a20, a21, a22, a23
            out[k + 3, t], out[k + 3, t + 1], out[k + 3, t + 2], out[k + 3, t + 3] = a30, a31, a32, a33


@jit
def product_out(values, first, last, start, stop, weights, out):
    """``out[k, n] += sum_t weights[k, t] values[first + t, n]`` for samples start..stop; four by four at a time."""
    for d in range(first, last, 4):
        y0, y1, y2, y3 = (
            values[d, start:stop],
            values[d + 1, start:stop],
            values[d + 2, start:stop],
            values[d + 3, start:stop],
        )
        t = d - first
        for k in range(0, weights.shape[0], 4):
            c0, c1, c2, c3 = (
                out[k, start:stop],
                out[k + 1, start:stop],
                out[k + 2, start:stop],
                out[k + 3, start:stop],
            )
            w00, w01, w02, w03 = weights[k, t], weights[k, t + 1], weights[k, t + 2], weights[k, t + 3]
            w10, w11, w12, w13 = weights[k + 1, t], weights[k + 1, t + 1], weights[k + 1, t + 2], weights[k + 1, t + 3]
            w20, w21, w22, w23 = weights[k + 2, t], weights[k + 2, t + 1], weights[k + 2, t + 2], weights[k + 2, t + 3]
            w30, w31, w32, w33 = weights[k + 3, t], weights[k + 3, t + 1], weights[k + 3, t + 2], weights[k + 3, t + 3]
            for n in range(stop - start):  # from 0, so that no index can be negative and the loop becomes vectors
                v0, v1, v2, v3 = y0[n], y1[n], y2[n], y3[n]
                c0[n] += (w00 * v0 + w01 * v1) + (w02 * v2 + w03 * v3)
                c1[n] += (w10 * v0 + w11 * v1) + (w12 * v2 + w13 * v3)
                c2[n] += (w20 * v0 + w21 * v1) + (w22 * v2 + w23 * v3)
                c3[n] += (w30 * v0 + w31 * v1) + (w32 * v2 + w33 * v3)


@jit
def switched(c, p, h, alpha, log_odds, entropy, mean, square, sums):
    """Posterior of ``s v`` for many items, given what the data say: precision ``p = quad + alpha`` and linear part `c`.

    ``S = sigmoid(log_odds + ln(alpha)/2 - ln(p)/2 + c^2/(2p))``, ``E[sv] = S c/p``, ``E[(sv)^2] = S (c^2/p^2 + 1/p)``.
    Adds to `sums` (its columns are above); spoils `c`, `p` and `h`.
    """
    offset = log_odds + 0.5 * log(alpha)
    for t in range(c.size):
        variance = 1.0 / p[t]
        mu = c[t] * variance
        log_p = log(p[t])
        x = offset - 0.5 * log_p + 0.5 * c[t] * mu
        e = exp_negative(abs(x))
        r = 1.0 / (1.0 + e)
        s = r if x >= 0.0 else e * r
        mean[t] = s * mu
        square[t] = s * (mu * mu + variance)
        c[t], p[t] = s, s * log_p
        if entropy:
            h[t] = log(1.0 + e) + ((1.0 - s) * x if x >= 0.0 else -s * x)
    total_s = total_second = total_log = total_h = 0.0
    for t in range(c.size):
        total_s += c[t]
        total_second += square[t]
        total_log -= p[t]
    if entropy:
        for t in range(c.size):
            total_h += h[t]
    sums[0] += total_s
    sums[1] += total_second + (c.size - total_s) / alpha
    sums[2] += total_log
    sums[3] += total_h


@jit
def unswitched(c, p, mean, square, sums):
    """Posterior of ``v`` for many items: ``E[v] = c/p``, ``E[v^2] = c^2/p^2 + 1/p``; adds to `sums`, spoils `p`."""
    for t in range(c.size):
        variance = 1.0 / p[t]
        mu = c[t] * variance
        mean[t] = mu
        square[t] = mu * mu + variance
        p[t] = log(p[t])
    total_second = total_log = 0.0
    for t in range(c.size):
        total_second += square[t]
        total_log -= p[t]
    sums[0] += c.size
    sums[1] += total_second
    sums[2] += total_log


@jit
def add_products(matrix_row, first, width, mean, h):
    """``h_t += sum_m P_m E[w_mt]`` for one row of a matrix that all items share; four factors at a time."""
    for m in range(0, matrix_row.size, 4):
        a0, a1, a2, a3 = matrix_row[m], matrix_row[m + 1], matrix_row[m + 2], matrix_row[m + 3]
        m0, m1, m2, m3 = mean[first + m], mean[first + m + 1], mean[first + m + 2], mean[first + m + 3]
        for t in range(width):
            h[t] += (a0 * m0[t] + a1 * m1[t]) + (a2 * m2[t] + a3 * m3[t])


@jit
def _shared(first, k, width, data, mean, c, h):
    """Take what the other factors explain off `c`, as far as items share it."""
    for g in range(data.gram.shape[0]):
        own = data.gram[g, k, k - first]
        for t in range(width):
            h[t] = -own * mean[k, t]
        add_products(data.gram[g, k], first, width, mean, h)
        for t in range(width):
            c[t] -= data.share[g, t] * h[t]


@inline
def pair(i, m):
    """Position of the entry (i, m), i >= m, in the lower half of a symmetric matrix, row after row."""
    return i * (i + 1) // 2 + m


@jit
def spans_of(fits):
    """First position of each fit in rows of second moments, and their length, shape (F + 1,).

    A row holds of each fit the products ``E[v_k] E[v_l]``, k >= l, row after row, then ``E[v_k^2]``, then zeros up to a
    multiple of 16.
    """
    spans = np.zeros(fits.size, np.int64)
    for f in range(fits.size - 1):
        spans[f + 1] = spans[f] + (pair(fits[f + 1] - fits[f] + 1, -1) + 16) // 16 * 16
    return spans


@jit
def fill_row(first, last, t, mean, square, row):
    """Second moments of the factors of one fit of item t."""
    means, squares, own = mean[first:last], square[first:last], np.empty(last - first, row.dtype)
    for k in range(own.size):
        own[k] = means[k, t]
    n_factors, p = np.uint64(own.size), np.uint64(0)  # unsigned: an index that cannot be negative needs no care
    for k in range(n_factors):
        for m in range(n_factors):  # all, for vectors of one length; the next row writes over what is too much
            row[p + m] = own[k] * own[m]
        p += k + np.uint64(1)
    for k in range(n_factors):
        row[p + k] = squares[k, t]


@jit
def add_row(weight, row, total):
    """``total += weight row``; a slice of its own for `total`, since what starts at zero needs no wrapping around."""
    for p in range(row.size):
        total[p] += weight * row[p]


@jit
def rows_of_moments(fits, mean, square, zero):
    """Rows of all items in the precision of `zero`, shape (item, length)."""
    spans = spans_of(fits)
    rows = np.full((mean.shape[1], spans[-1]), zero)
    for n in range(mean.shape[1]):
        for f in range(fits.size - 1):
            fill_row(fits[f], fits[f + 1], n, mean, square, rows[n, spans[f] :])
    return rows


@jit
def add_own(first, last, k, width, local, mean, h):
    """``h_t += sum_{l != k} local_kl E[w_lt]``, with a matrix for each item."""
    i = k - first
    for m in range(last - first):
        if m != i:
            row, other = local[pair(max(i, m), min(i, m))], mean[first + m]
            for t in range(width):
                h[t] += row[t] * other[t]


@jit
def coordinate(first, last, width, data, prior, mean, square, sums):
    """Update the factors first..last of `width` items in sequence, each with the freshest values of the others.

    ``c_k = linear_k - sum_{l != k} P_kl E[w_l]``, ``p_k = quad_k + alpha_k``, where the matrix ``P`` of an item is
    ``sum_g share_g gram_g - local``. Items are the features of a tile (for weights) or samples (for factors).

    Parameters
    ----------
    first, last : int
        The factors of one fit, among those of all fits that share the pass.
    width : int
        Items.
    data : Data
        What the data say about the items.
    prior : Prior
        alpha, log odds, and whether there are spikes.
    mean, square : numpy.ndarray, shape (factor, item)
        First and second moments, updated in place; more rows than factors, so that matrices may be wider than a fit.
    sums : numpy.ndarray, shape (factor, 4)
        Is added to.
    """
    c, p, h = np.empty(width), np.empty(width), np.empty(width)
    for k in range(first, last):
        for t in range(width):
            c[t] = data.linear[k, t]
            p[t] = data.quad[k, t] + prior.alpha[k]
        _shared(first, k, width, data, mean, c, h)
        if data.local.shape[0]:
            add_own(first, last, k, width, data.local, mean, c)
        if prior.spike:
            switched(c, p, h, prior.alpha[k], prior.log_odds[k], prior.entropy, mean[k], square[k], sums[k])
        else:
            unswitched(c, p, mean[k], square[k], sums[k])
