"""01_scores: which segments and agents differ?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cxlib.counts import answers, people
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page.findings import Answer, answer, finding, table
from cxlib.scores import estimates
from cxlib.scores.estimates import change, estimate, hidden, kind_of, since
from cxlib.stats import intervals, shrinkage
from cxlib.stats.estimate import Estimate

NAMED = 3  # how many of the segments that differ are described
FEWEST_AGENTS = 3


@finding("segments")
def differences(
    company: Company, metric: str = "", window_months: int = 12, cuts: Sequence[str] = (), rate: float = 0.05
) -> Answer:
    """Answer: which segments differ? Each level of each cut against all other customers.

    ``cuts``: columns of customers, touchpoint, channel or stage; none takes all there are. Levels of few customers are
    hidden, as are those that would reveal one. ``rate``: false-discovery rate over all (Benjamini-Hochberg).
    """
    metric = answers.choose(company, metric)
    answers.require_answers(company, metric)
    cuts = list(cuts) or answers.cuts(company, metric)
    if not cuts:
        raise Unanswered("no-segment")
    start, kind, one_each = since(company, window_months), kind_of(metric), metric == "nps"
    rows, unseen = [], 0
    for cut in cuts:
        counted = answers.score_counts(company, metric, by=[cut], latest_only=one_each, since=start)
        sizes = counted.groupby(cut, observed=True)["customers"].sum()
        hide = dict(zip(sizes.index, hidden(company, sizes.to_numpy()), strict=True))
        unseen += sum(hide.values())
        if len(sizes) - sum(hide.values()) < 2:
            continue
        for level in people.in_order(cut, [k for k in sizes.index if not hide[k]]):
            part, rest = counted[counted[cut] == level], counted[counted[cut] != level]
            e = estimate(company, metric, part, kind, one_each=one_each)
            gap = change(company, metric, part, rest, kind, one_each=one_each)
            rows.append(
                {"segment": cut, "level": level, "estimate": e, "customers": sizes[level], "difference": gap.value,
                 "difference_low": gap.low, "difference_high": gap.high, "p": gap.p}
            )  # fmt: skip
    if not rows:
        raise Unanswered("few-segments")
    shown = table(rows, ["segment", "level"])
    shown["differs"] = intervals.benjamini_hochberg(shown["p"], rate)
    found = shown[shown["differs"]].sort_values("p")
    top = [
        {"segment": r["segment"], "level": r["level"],
         "gap": Estimate(r["difference"], r["difference_low"], r["difference_high"])}
        for r in found.head(NAMED).to_dict("records")
    ]  # fmt: skip
    return answer(
        "observed", shown, metric=metric.upper(), differing=len(found), compared=len(shown), top=top, unseen=unseen,
        rate=rate, window=window_months if start else 0,
    )  # fmt: skip


@finding("agents")
def agents(company: Company, metric: str = "", window_months: int = 12, draws: int = 4000) -> Answer:
    """Answer: how much do agents differ, beyond chance? Empirical-Bayes means, and ranks with their intervals.

    Takes the first metric (or ``metric``) with three agents or more. ``draws``: simulations behind the ranks.
    """
    people.require(company, "responses", "agent")
    metrics = [m for m in answers.metrics(company) if not metric or m == metric]
    answers.require_answers(company, metrics[0] if metrics else "")
    start, counted = since(company, window_months), pd.DataFrame()
    for metric in metrics:
        counted = answers.score_counts(company, metric, by=["agent"], since=start)
        counted = counted[counted["agent"] != people.NONE]
        if counted["agent"].nunique() >= FEWEST_AGENTS:
            break
    sizes = counted.groupby("agent", observed=True)["customers"].sum()
    shown = sizes.index[~hidden(company, sizes.to_numpy())] if len(sizes) else []
    if len(shown) < FEWEST_AGENTS:
        raise Unanswered("few-agents", fewest=FEWEST_AGENTS)
    raw = {
        called: estimate(company, metric, counted[counted["agent"] == a], kind_of(metric))
        for a, called in estimates.agents(company).items()
        if a in shown
    }
    found = shrinkage.shrink([e.value for e in raw.values()], [e.se for e in raw.values()])
    ranks = shrinkage.ranks(found, draws, company.settings.seed)
    rows = found.table.assign(
        agent=list(raw), n=[e.n for e in raw.values()], rank_low=ranks["low"], rank_high=ranks["high"]
    )
    rows = rows.rename(columns={"value": "raw", "shrunken": "value"})
    apart = rows[(rows["low"] > found.mean) | (rows["high"] < found.mean)]
    return answer(
        "observed", rows[["agent", "value", "low", "high", "n", "raw", "rank_low", "rank_high"]],
        metric=metric.upper(), direction=answers.direction(company, metric), agents=len(rows),
        differing=list(apart["agent"]), mean=found.mean, spread=found.between_sd, unseen=len(sizes) - len(rows),
    )  # fmt: skip
