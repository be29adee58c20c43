"""Score groups compared at the same mix: within levels of comparable customers, weighted by the mix of all.

Direct standardisation (Keiding & Clayton 2014, Statistical Science 29:529). Small levels are pooled only within a
segment, because segments differ most: a level of "others" across segments would show gaps where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from cxlib.stats import draws
from cxlib.stats.estimate import Estimate, NotEstimable

SPLIT = 100  # answers of every group that a level needs if its segment has several levels
AT_RISK = 10  # answers of every group that a level needs at the horizon
FEW = 0.1  # largest share of answers that a comparison may exclude
NOTHING: Mapping[str, int] = MappingProxyType({})


def levels(
    counted: pd.DataFrame,
    groups: Sequence[str],
    least: int,
    finer: int,
    horizon: int = 0,
    also: Mapping[str, int] = NOTHING,
) -> pd.Series:
    """Return the level in which each stratum is compared: all its parts ("Basic | first year"), or fewer if too small.

    ``counted`` has columns stratum, band, n and, for a ``horizon``, duration. A level needs ``least`` answers in every
    one of the ``groups`` (SPLIT if its segment has several levels), the minimums of other columns in ``also``, and
    AT_RISK answers still followed at the ``horizon``. Small values of the last part are pooled, then all of them, then
    those of the part before, up to the ``finer`` last parts; segments, which come first, only at the end. Strata that
    are still too small have no level (NaN) if they are at most FEW of all; otherwise everything is one level.
    """
    fewest_of = {**also, "late": AT_RISK} if horizon else also
    late = counted["n"].where(counted["duration"] >= horizon, 0) if horizon else 0
    cells = counted.assign(late=late).groupby(["stratum", "band"], observed=True)[["n", *fewest_of]].sum()
    cells = cells.reset_index().astype({"stratum": str})
    sizes = cells.groupby("stratum")["n"].sum()
    level = pd.Series({s: s for s in sizes.index})

    def unsound(of: pd.Series, fewest: int) -> pd.Series:
        """Return whether the level of each stratum is too small."""
        sums = cells.groupby([cells["stratum"].map(of), "band"], observed=True)[["n", *fewest_of]].sum()
        good = sums["n"] >= fewest
        for column, many in fewest_of.items():
            good &= sums[column] >= many
        return ~of.map(good.groupby(level=0).sum() == len(groups))

    several = max(least, SPLIT)
    for dropped in range(1, finer + 1):
        parts = {s: s.rsplit(" | ", dropped) for s in level.index}
        prefix = pd.Series({s: p[0] if len(p) > dropped else "" for s, p in parts.items()})
        level = level.mask(unsound(level, several), prefix + " | others")
        level = level.mask(prefix.isin(prefix[unsound(level, several)]), prefix)
    level = level.mask(unsound(level, least), "others")
    small = unsound(level, least)
    if not small.any():
        return level
    few = sizes[small].sum() <= FEW * sizes.sum()
    return level.mask(small) if few else level.where(level.isna(), "all")


@dataclass(frozen=True, eq=False)
class Drawn:
    """A number by group under each resample, (1 + draws) x groups with row 0 as observed, and the answers behind it."""

    names: list[str]
    sizes: dict[str, float]
    drawn: np.ndarray
    low: float | None = 0

    def each(self, group: str) -> Estimate:
        """Estimate the number of a group."""
        drawn = self.drawn[:, self.names.index(group)]
        return draws.estimate(drawn[0], drawn[1:], self.sizes[group], low=self.low)

    def gap(self, best: str, worst: str) -> Estimate:
        """Estimate by how much the number of one group exceeds that of another."""
        drawn = self.drawn[:, self.names.index(best)] - self.drawn[:, self.names.index(worst)]
        return draws.estimate(drawn[0], drawn[1:], self.sizes[best] + self.sizes[worst])

    def times(self, factor: float) -> Drawn:
        """Return the number in another unit."""
        return Drawn(self.names, self.sizes, factor * self.drawn, self.low)


@dataclass(frozen=True, eq=False)
class Sums:
    """Columns added up by level and group under each resample: (1 + draws) x levels x groups."""

    names: list[str]
    sizes: dict[str, float]
    sums: dict[str, np.ndarray]
    left_out: float  # share of the answers without a level

    @property
    def levels(self) -> int:
        """Return the number of levels."""
        return next(iter(self.sums.values())).shape[1]

    def ratio(self, above: str, below: str, low: float | None = 0) -> Drawn:
        """Return the column ``above`` per ``below`` by group, each level weighted by ``below`` of all groups."""
        mix = self.sums[below].sum(2)
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold nothing of a cell
            each = self.sums[above] / self.sums[below]
            return Drawn(self.names, self.sizes, (each * (mix / mix.sum(1, keepdims=True))[:, :, None]).sum(1), low)


def groups_of(counted: pd.DataFrame, names: Sequence[str], least: int, unscored: str) -> list[str]:
    """Return the groups of ``names`` with at least ``least`` answers, in their order; NotEstimable if fewer than two.

    ``counted`` has columns band and n. The group ``unscored``, customers without an answer, does not count.
    """
    size = counted.groupby("band", observed=True)["n"].sum()
    names = [b for b in names if size.get(b, 0) >= least]
    if sum(b != unscored for b in names) < 2:
        raise NotEstimable("too-few-groups", least=least)
    return names


def add_up(
    counted: pd.DataFrame,
    names: list[str],
    finer: int,
    least: int,
    weights: np.ndarray,
    also: Mapping[str, int] = NOTHING,
) -> Sums:
    """Add up the columns of counts by (stratum, band, fold) over the levels in which the groups ``names`` are compared.

    ``weights`` (1 + draws x folds) is how often each fold counts; other arguments are those of ``levels``. NotEstimable
    if no level has ``least`` answers of every group.
    """
    counted = counted[counted["band"].isin(names)]
    mine = counted["stratum"].astype(str).map(levels(counted, names, least, finer, also=also))
    if mine.isna().all():
        raise NotEstimable("no-common-level", least=least)
    inside, kept = counted[mine.notna()], sorted(mine.dropna().unique())
    where = mine.dropna().map(kept.index), inside["band"].astype(str).map(names.index)
    columns, shape = [c for c in counted if c not in ("stratum", "band", "fold")], (len(kept), len(names))
    sums = {c: draws.summed(weights, inside["fold"], inside[c], where, shape) for c in columns}
    sizes = inside.groupby("band", observed=True)["n"].sum().astype(float).to_dict()
    return Sums(names, sizes, sums, float(1 - inside["n"].sum() / counted["n"].sum()))
