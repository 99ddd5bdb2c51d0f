"""The inner loops of the sweep, compiled: two thin products with a block, and coordinate updates of many items at once.

All arrays are factor-major (factor x item), so that every inner loop runs over neighbouring memory and becomes vector
instructions. Data and products may be float32; what is added up over features or samples is float64. No function here
needs Python's lock, and none draws random numbers or depends on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

#: Reordering of sums is allowed, wrong answers for NaN are not.
jit = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
inline = numba.njit(nogil=True, inline="always", error_model="numpy", fastmath={"reassoc", "contract", "nsz"})

#: Features that are updated together: what they need fits the second level of cache.
TILE = 128
#: Columns of the sums over items, by factor: S, E[w^2] with the spike's own, S ln s2, H(S).
SWITCH, SECOND, LOG_VARIANCE, ENTROPY = 0, 1, 2, 3


class Holes(NamedTuple):
    """Missing entries of some items, as what they take off the shared matrices.

    Attributes
    ----------
    starts : numpy.ndarray, shape (item + 1,) or (0,)
        Entries of item t are ``starts[t]`` to ``starts[t + 1]``; empty where nothing is missing.
    others : numpy.ndarray, shape (entry,)
        The sample of each entry, if items are features.
    tau : numpy.ndarray, shape (entry,)
        Its precision.
    mean, square : numpy.ndarray, shape (other, factor)
        E[z], E[z^2].
    fitted : numpy.ndarray, shape (entry,)
        ``z'w`` with the present weights; kept up to date.
    """

    starts: np.ndarray
    others: np.ndarray
    tau: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    fitted: np.ndarray


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
    local : numpy.ndarray, shape (item, factor, multiple of 4) or (0, 0, 0)
        What is taken off for each item, as a matrix (samples).
    holes : Holes
        The same, as entries (features).
    """

    linear: np.ndarray
    quad: np.ndarray
    share: np.ndarray
    gram: np.ndarray
    local: np.ndarray
    holes: Holes


def no_holes() -> Holes:
    """Nothing is missing."""
    nothing, table = np.zeros(0), np.zeros((0, 0))
    return Holes(np.zeros(0, np.int64), np.zeros(0, np.int32), nothing, table, table, nothing)


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
def switched(c, p, alpha, log_odds, entropy, mean, square, sums):
    """Posterior of ``s v`` for many items, given what the data say: precision ``p = quad + alpha`` and linear part `c`.

    ``S = sigmoid(log_odds + ln(alpha)/2 - ln(p)/2 + c^2/(2p))``, ``E[sv] = S c/p``, ``E[(sv)^2] = S (c^2/p^2 + 1/p)``.
    Adds to `sums` (its columns are above).
    """
    offset = log_odds + 0.5 * log(alpha)
    total_s = total_second = total_log = total_h = 0.0
    for t in range(c.size):
        variance = 1.0 / p[t]
        mu = c[t] * variance
        log_p = log(p[t])
        x = offset - 0.5 * log_p + 0.5 * c[t] * mu
        e = exp_negative(abs(x))
        r = 1.0 / (1.0 + e)
        s = r if x >= 0.0 else e * r
        second = s * (mu * mu + variance)
        mean[t] = s * mu
        square[t] = second
        total_s += s
        total_second += second
        total_log -= s * log_p
        if entropy:
            total_h += log(1.0 + e) + ((1.0 - s) * x if x >= 0.0 else -s * x)
    sums[0] += total_s
    sums[1] += total_second + (c.size - total_s) / alpha
    sums[2] += total_log
    sums[3] += total_h


@jit
def unswitched(c, p, mean, square, sums):
    """Posterior of ``v`` for many items: ``E[v] = c/p``, ``E[v^2] = c^2/p^2 + 1/p``; adds to `sums`."""
    total_second = total_log = 0.0
    for t in range(c.size):
        variance = 1.0 / p[t]
        mu = c[t] * variance
        second = mu * mu + variance
        mean[t] = mu
        square[t] = second
        total_second += second
        total_log -= log(p[t])
    sums[0] += c.size
    sums[1] += total_second
    sums[2] += total_log


@jit
def _row_dot(matrices, t, k, rows):
    """``sum_m matrices[t, k, m] rows[t, m]``; four partial sums, so that it becomes vectors."""
    s0 = s1 = s2 = s3 = 0.0
    for m in range(0, rows.shape[1], 4):
        s0 += matrices[t, k, m] * rows[t, m]
        s1 += matrices[t, k, m + 1] * rows[t, m + 1]
        s2 += matrices[t, k, m + 2] * rows[t, m + 2]
        s3 += matrices[t, k, m + 3] * rows[t, m + 3]
    return (s0 + s1) + (s2 + s3)


@jit
def _take_off(k, width, holes, mean, c, p):
    """Take what missing entries would say off `c` and `p`, without the factor's own part of their fitted values."""
    for t in range(width):
        for e in range(holes.starts[t], holes.starts[t + 1]):
            z = holes.mean[holes.others[e], k]
            c[t] += holes.tau[e] * z * (holes.fitted[e] - z * mean[k, t])
            p[t] -= holes.tau[e] * holes.square[holes.others[e], k]


@jit
def _refit(k, width, holes, before, mean):
    """Let the fitted values of missing entries follow the factor's new weights."""
    for t in range(width):
        step = mean[k, t] - before[t]
        for e in range(holes.starts[t], holes.starts[t + 1]):
            holes.fitted[e] += step * holes.mean[holes.others[e], k]


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


@jit
def _by_item(first, last, width, mean):
    """The means turned: one row an item, filled up with zeros to a multiple of four."""
    rows = np.zeros((width, (last - first + 3) // 4 * 4))
    for k in range(first, last):
        for t in range(width):
            rows[t, k - first] = mean[k, t]
    return rows


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
    local, holes = data.local.shape[0] > 0, data.holes.starts.size > 0
    rows = _by_item(first, last, width if local else 0, mean)
    for k in range(first, last):
        i = k - first
        for t in range(width):
            c[t] = data.linear[k, t]
            p[t] = data.quad[k, t] + prior.alpha[k]
        _shared(first, k, width, data, mean, c, h)
        if holes:
            _take_off(k, width, data.holes, mean, c, p)
            h[:] = mean[k, :width]
        for t in range(rows.shape[0]):
            c[t] += _row_dot(data.local, t, k, rows) - data.local[t, k, i] * rows[t, i]
        if prior.spike:
            switched(c, p, prior.alpha[k], prior.log_odds[k], prior.entropy, mean[k], square[k], sums[k])
        else:
            unswitched(c, p, mean[k], square[k], sums[k])
        if holes:
            _refit(k, width, data.holes, h, mean)
        for t in range(rows.shape[0]):
            rows[t, i] = mean[k, t]
