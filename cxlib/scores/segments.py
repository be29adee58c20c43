"""01_scores: where do the scores stand, and who differs?

The other sections of the page are questions of their own: ``movement`` (did it move), ``silence`` (who does not answer),
``agreement`` (do the scores agree) and ``support`` (how long customers wait).
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cxlib.counts import answers, people
from cxlib.intake.company import Company
from cxlib.page.findings import Finding, listing, number, percent, table, unanswered
from cxlib.scores.estimates import change, estimate, hidden, kind_of, since, write
from cxlib.stats import intervals, shrinkage
from cxlib.stats.estimate import Estimate


def differences(
    company: Company, metric: str = "", window_months: int = 12, cuts: Sequence[str] = (), rate: float = 0.05
) -> Finding:
    """Answer: who differs? Each level of each cut against the rest; Benjamini-Hochberg over all of them.

    ``cuts`` are columns of customers, touchpoint, channel or stage; none takes all there are. Levels of few customers
    are not shown, nor those from which one could be worked out.
    """
    name, title = "segments", "Score by segment"
    metric = answers.choose(company, metric)
    cuts = list(cuts) or (answers.cuts(company, metric) if metric else [])
    if not metric or not cuts:
        return unanswered(name, title, "no segment is declared." if metric else "no question was answered.")
    start, kind, rows, unseen = since(company, window_months), kind_of(metric), [], 0
    one_each = metric == "nps"
    for cut in cuts:
        counted = answers.score_counts(company, metric, by=[cut], latest_only=one_each, since=start)
        sizes = counted.groupby(cut, observed=True)["customers"].sum()
        hide = dict(zip(sizes.index, hidden(company, sizes.to_numpy()), strict=True))
        unseen += sum(hide.values())
        if len(sizes) - sum(hide.values()) < 2:
            continue
        for level in people.in_order(cut, [k for k in sizes.index if not hide[k]]):
            part = counted[counted[cut] == level]
            row = {"segment": cut, "level": level, "estimate": estimate(company, metric, part, kind, one_each=one_each)}
            apart = change(company, metric, part, counted[counted[cut] != level], kind, one_each=one_each)
            row |= {"customers": sizes[level], "difference": apart.value}
            row |= {"difference_low": apart.low, "difference_high": apart.high, "p": apart.p}
            rows.append(row)
    if not rows:
        least = company.settings.privacy.minimum_base
        return unanswered(name, title, f"fewer than two segments have {least} customers or more.")
    shown = table(rows, ["segment", "level"])
    shown["differs"] = intervals.benjamini_hochberg(shown["p"], rate)
    found = shown[shown["differs"]].sort_values("p")
    label, known = metric.upper(), len(shown)
    if len(found):
        said = [
            f"{r['segment']} {r['level']} ({write(metric, Estimate(r['difference'], r['difference_low'], r['difference_high']))})"
            for r in found.head(3).to_dict("records")
        ]
        text = f"{len(found)} of {known} segments differ in {label} from the rest of the customers by more than chance; most "
        text += f"clearly {listing(said)}."
    else:
        text = f"None of {known} segments differs in {label} from the rest of the customers by more than chance."
    share = percent(rate, 0)
    caveats = [
        f"Over all {known} comparisons at most about {share} of those named are expected to be false (Benjamini-Hochberg)."
    ]
    caveats += [f"{unseen} small segments are not shown, or would give a small one away."] if unseen else []
    window = f", last {window_months} months" if start else ""
    return Finding(name, f"{label} by segment{window}", text, "D", shown, caveats=tuple(caveats))


def agents(company: Company, metric: str = "", window_months: int = 12, draws: int = 4000) -> Finding:
    """Answer: how much do agents differ, luck taken off? Means shrunk toward that of all; ranks with their intervals."""
    name, title = "agents", "Score by agent, luck taken off"
    metrics = [m for m in answers.metrics(company) if not metric or m == metric]
    if not metrics or not company.has("responses", "agent"):
        return unanswered(name, title, "the answers name no agent.")
    start, counted = since(company, window_months), pd.DataFrame()
    for metric in metrics:
        counted = answers.score_counts(company, metric, by=["agent"], since=start)
        counted = counted[counted["agent"] != people.NONE]
        if counted["agent"].nunique() >= 3:
            break
    sizes = counted.groupby("agent", observed=True)["customers"].sum() if len(counted) else pd.Series(dtype=float)
    shown = sizes.index[~hidden(company, sizes.to_numpy())] if len(sizes) else []
    if len(shown) < 3:
        return unanswered(name, title, "fewer than three agents have enough answers.")
    raw = {a: estimate(company, metric, counted[counted["agent"] == a], kind_of(metric)) for a in shown}
    found = shrinkage.shrink([e.value for e in raw.values()], [e.se for e in raw.values()])
    ranks = shrinkage.ranks(found, draws, company.settings.seed)
    rows = found.table.assign(
        agent=list(raw), n=[e.n for e in raw.values()], rank_low=ranks["low"], rank_high=ranks["high"]
    )
    rows = rows.rename(columns={"value": "raw", "shrunken": "value"}).sort_values("agent", ignore_index=True)
    apart = rows[(rows["low"] > found.mean) | (rows["high"] < found.mean)]
    text = f"Of {len(rows)} agents {len(apart) or 'none'} can be told from the mean of {number(found.mean, 2)} "
    text += f"({metric.upper()}, {answers.direction(company, metric)}) once luck is taken off"
    text += f": {listing(apart['agent'])}." if len(apart) else "."
    text += f" True means differ by a standard deviation of {number(found.between_sd, 2)} points."
    caveats = [
        "Each mean is drawn toward that of all agents, the more the fewer answers stand behind it (empirical Bayes); a rank "
        "is shown with its interval, as a table of ranks would mostly show luck. Which cases an agent gets is not adjusted for."
    ]
    caveats += [f"{len(sizes) - len(rows)} agents with few customers are not shown."] if len(rows) < len(sizes) else []
    columns = ["agent", "value", "low", "high", "n", "raw", "rank_low", "rank_high"]
    return Finding(name, f"{title} ({metric.upper()})", text, "D", rows[columns], caveats=tuple(caveats))
