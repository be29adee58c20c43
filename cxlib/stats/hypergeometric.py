"""Integrals behind models of buying and leaving, in forms that neither overflow nor lose digits.

In print they are Gauss hypergeometric functions, whose series alternate, overflow after a few hundred purchases and
are 0 / 0 at whole numbers. Here they are means over a probability or a time of leaving, with only positive terms.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import special


def purchases_until_gone(r: np.ndarray, horizon: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean of (1 - (1 + p horizon)^-r) / p over p ~ beta(a, b).

    These are the purchases expected from an active buyer who leaves with probability p after each purchase. The
    purchases without leaving are negative binomial with shape r and mean r x horizon. Arrays that broadcast.
    """
    r, horizon, a, b = np.broadcast_arrays(r, horizon, a, b)
    c = a + b - 1
    with np.errstate(all="ignore"):
        none = (1 + horizon) ** (1 - a) * special.hyp2f1(c - r, a - 1, c, horizon / (1 + horizon))
        total = np.asarray(c / (a - 1) * (1 - none))
    # The closed form is 0 / 0 at a = 1 and at a + b = 1, and fails for some very long histories.
    hard = ~np.isfinite(total) | (np.abs(a - 1) < 1e-5) | (np.abs(c) < 1e-5)
    hard &= np.isfinite(r + horizon + a + b)
    if hard.any():
        total[hard] = _by_quadrature(r[hard], horizon[hard], a[hard], b[hard])
    return total


def time_of_leaving(
    q: np.ndarray, p: np.ndarray, alpha: np.ndarray, beta: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Integrate (alpha + u)^-q (beta + u)^-p over u from ``start`` to ``end``; p above 1, all else above 0.

    Returns the log of the integral (-inf where start equals end) and the means of log(alpha + u), log(beta + u), 1 /
    (alpha + u) and 1 / (beta + u) with the integrand as density of u, from which its derivatives follow.

    In w = log of (u + the smaller of alpha and beta), counted from ``start``, the integrand is log-concave and has no
    singularity closer than pi, so a few dozen Gauss-Legendre nodes give 12 digits. The end is moved to where the rest
    no longer matters.
    """
    q, p, alpha, beta, start, end = np.broadcast_arrays(q, p, alpha, beta, start, end)
    small, gap = np.minimum(alpha, beta) + start, np.abs(alpha - beta)
    nearer_alpha = alpha <= beta
    power_small, power_large = np.where(nearer_alpha, q, p) - 1, np.where(nearer_alpha, p, q)
    base = np.log(small + gap)

    def large(w: np.ndarray) -> np.ndarray:
        return small * np.exp(w) + gap

    def height(w: np.ndarray) -> np.ndarray:
        return -power_small * w - power_large * (np.log(large(w)) - base)

    width = np.log1p((end - start) / small)
    # The height rises, if at all, until the smaller of the two sums is this share of the larger.
    share = np.clip(-power_small / power_large, 0, 1 - 1e-9)
    peak = np.clip(np.log(np.maximum(share / (1 - share) * gap, small) / small), 0, width)
    top = height(peak)
    for _ in range(8):  # Newton steps on a concave curve stay beyond the point they search for
        fallen = top - height(width)
        slope = power_small + power_large * (1 - gap / large(width))
        width = width - np.where(fallen > 45, (fallen - 45) / np.where(fallen > 45, slope, 1), 0)
    widest = float(np.max(width, initial=0, where=np.isfinite(width)))
    nodes, parts = _legendre(30 + 3 * int(np.ceil(widest)))
    total, sums = np.zeros(width.shape), np.zeros((4, *width.shape))
    for node, part in zip((nodes + 1) / 2, parts / 2, strict=True):
        w = width * node
        near = small * np.exp(w)
        far = near + gap
        log_far = np.log(far)
        density = part * np.exp(-power_small * w - power_large * (log_far - base) - top)
        total += density
        sums[0] += density * w
        sums[1] += density * log_far
        sums[2] += density / near
        sums[3] += density / far
    sums /= total
    sums[0] += np.log(small)
    with np.errstate(divide="ignore"):
        integral = np.log(total * width) + top - power_small * np.log(small) - power_large * base
    first, second = np.where(nearer_alpha, sums[::2], sums[1::2]), np.where(nearer_alpha, sums[1::2], sums[::2])
    return integral, (first[0], second[0], first[1], second[1])


@cache
def _legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(nodes)


def log_rising(z: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return log gamma(z + a) - log gamma(z) for positive z and a, without the loss of digits of a difference."""
    z, a = np.broadcast_arrays(z, a)
    long = np.where(z > 20, z, 20)
    stirling = (long + a - 0.5) * np.log1p(a / long) + a * (np.log(long) - 1) + _stirling(long + a) - _stirling(long)
    return np.where(z > 20, stirling, special.gammaln(z + a) - special.gammaln(z))


def log_rising_slope(z: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return digamma(z + a) - digamma(z), the slope of ``log_rising`` in z, equally exact."""
    z, a = np.broadcast_arrays(z, a)
    long = np.where(z > 20, z, 20)
    series = np.log1p(a / long) + a / (2 * long * (long + a)) + _digamma_rest(long + a) - _digamma_rest(long)
    return np.where(z > 20, series, special.digamma(z + a) - special.digamma(z))


def _digamma_rest(z: np.ndarray) -> np.ndarray:
    inverse = 1 / z**2
    return -inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse / 240)))


def _stirling(z: np.ndarray) -> np.ndarray:
    """Return log gamma minus Stirling's formula, to 1e-14 for z of 20 or more."""
    inverse = 1 / z**2
    return (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / z


def _by_quadrature(r: np.ndarray, horizon: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean of ``purchases_until_gone`` by the trapezoid rule in y = logit p, which converges exponentially.

    The line through both ends is subtracted first: its mean is known, and the rest vanishes at both ends.
    """
    start, end = r * horizon, -np.expm1(-r * np.log1p(horizon))
    fall = 40 + 2 * np.log1p(start)
    lowest = np.log((a + 1) / (b + 1)) - _distance(a + 1, b + 1, fall)
    width = np.log((a + 1) / (b + 1)) + _distance(b + 1, a + 1, fall) - lowest
    nodes = int(np.max(width / np.minimum(0.25, 0.7 * np.sqrt(1 / a + 1 / b)))) + 1
    total = np.zeros(r.shape)
    for node in range(nodes + 1):
        y = lowest + width * node / nodes
        p, rest = special.expit(y), special.expit(-y)
        bend = -np.expm1(-r * np.log1p(p * horizon)) / p - start * rest - end * p
        total += bend * np.exp(a * special.log_expit(y) + b * special.log_expit(-y) - special.betaln(a, b))
    return (b * start + a * end) / (a + b) + total * width / nodes


def _distance(a: np.ndarray, b: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Return how far below its peak, in y, the log of expit(y)^a expit(-y)^b has fallen by ``fall``, by bisection."""
    near, far = np.zeros(a.shape), (fall + (a + b) * np.log1p(a / b)) / a
    for _ in range(60):
        middle = (near + far) / 2
        fallen = a * middle - (a + b) * (np.log1p(a / b) - np.log1p(a / b * np.exp(-middle)))
        near, far = np.where(fallen < fall, middle, near), np.where(fallen < fall, far, middle)
    return far
