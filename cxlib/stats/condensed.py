"""Very many histories of buyers put on a few thousand nodes, so that a fit takes no longer with more customers.

Ten million customers have a million different histories (frequency, recency, age), and a fit passes through all of them
some eighty times. But what it adds up - a log-likelihood and its slopes - is smooth in recency and age. So each history
is spread over the nodes of a fixed grid around it, with the Lagrange weights of interpolation: any sum over the nodes
is then the sum over the histories, had the function been interpolated between the nodes by polynomials of degree 5.
Weights may be negative; their sum is the number of customers still.

The axes are those along which purchase-timing likelihoods bend evenly: the log of recency, and the log of
(frequency + 1) times the log of the ratio of age to recency, both shifted by a unit so that 0 is allowed. Frequency
stays as it is, since likelihoods are not smooth across small whole numbers. A unit of a thousandth of the longest age
suits parameters (alpha, beta) of at least that size; ``TimingModel.fit`` compares before it trusts.

Measured at 10 million simulated customers by whole days: 1.4 million histories on 28 thousand nodes, log-likelihood
off by 1e-7 of itself, parameters by less than 5e-5 of theirs, about a twentieth of their standard errors.

Source: Berrut & Trefethen (2004), Barycentric Lagrange interpolation, SIAM Review 46(3), whose formula 2.1 the weights
are; the sum over nodes is the transpose of that interpolation.
"""

from __future__ import annotations

from itertools import product

import numpy as np

POINTS = 6  # nodes along each axis over which a history is spread
STEPS = (0.3, 0.1)  # between nodes, of the two logs
UNIT = 1 / 1000  # of the longest age


def condense(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put different histories (rows x 3: frequency, recency, age) on nodes, and their weights with them.

    Returns the nodes (of the same three columns) and a weight for each, which may be negative. A frequency that has fewer
    histories than it would take nodes, such as that of the heaviest buyers, keeps its histories as they are.
    """
    x, recency, age = rows.T
    unit = age.max() * UNIT
    start, end = np.log1p(recency / unit), np.log1p(age / unit)
    once = x == 0  # their recency is 0: one axis is enough
    again = ~once
    bought, (when,), weight = _on_grid(x[once], [end[once]], STEPS[:1], weights[once])
    parts = [(bought, np.zeros(len(when)), when, weight)]
    wait = np.log1p((x[again] + 1) * (end - start)[again])
    bought, (when, wait), weight = _on_grid(x[again], [start[again], wait], STEPS, weights[again])
    parts.append((bought, when, when + np.expm1(wait) / (bought + 1), weight))
    bought, when, until, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    nodes = np.column_stack([bought, unit * np.expm1(when), unit * np.expm1(until)])

    levels, level = np.unique(np.concatenate([x, bought]), return_inverse=True)
    of_row, of_node = level[: len(x)], level[len(x) :]
    fewer = np.bincount(of_node, minlength=len(levels)) < np.bincount(of_row, minlength=len(levels))
    spread, exact = fewer[of_node], ~fewer[of_row]
    return np.concatenate([rows[exact], nodes[spread]]), np.concatenate([weights[exact], weight[spread]])


def _on_grid(
    kind: np.ndarray, axes: list[np.ndarray], steps: tuple[float, ...], weights: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Spread weights at places along one or more axes over grid nodes, each kind apart; gives kinds, places, weights."""
    spread = [_lagrange(places, step) for places, step in zip(axes, steps, strict=True)]
    sizes = [int(first.max(initial=0)) + POINTS for first, _ in spread]
    key = kind.astype(np.int64)
    for (first, _), size in zip(spread, sizes, strict=True):
        key = key * size + first
    # Histories between the same nodes first: their weights add up.
    cells, cell = np.unique(key, return_inverse=True)
    stencil = list(product(range(POINTS), repeat=len(axes)))
    held = np.empty((len(cells), len(stencil)))
    for position, points in enumerate(stencil):
        share = weights
        for (_, shares), point in zip(spread, points, strict=True):
            share = share * shares[point]
        held[:, position] = np.bincount(cell, share, len(cells))
    ahead = np.array([np.ravel_multi_index(points, sizes) if len(sizes) > 1 else points[0] for points in stencil])
    nodes, node = np.unique((cells[:, None] + ahead).ravel(), return_inverse=True)
    total, places = np.bincount(node, held.ravel(), len(nodes)), []
    for size, step in zip(sizes[::-1], steps[::-1], strict=True):
        nodes, at = np.divmod(nodes, size)
        places.insert(0, at * step)
    return nodes.astype(float), places, total


def _lagrange(places: np.ndarray, step: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Give the first of the nodes around each place (nodes lie at 0, 1, 2 ... steps), and the weights of all of them."""
    first = np.maximum(np.floor(places / step).astype(np.int64) - (POINTS // 2 - 1), 0)
    at = places / step - first
    below, above = [np.ones_like(at)], [np.ones_like(at)]
    for k in range(POINTS - 1):
        below.append(below[-1] * (at - k))
        above.append(above[-1] * (at - (POINTS - 1 - k)))
    scale = [np.prod([i - j for j in range(POINTS) if j != i]) for i in range(POINTS)]
    return first, [below[i] * above[POINTS - 1 - i] / scale[i] for i in range(POINTS)]
