"""Who is silent, and what would the score be if they had spoken? Response rates, weights and bounds (01_scores)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from cxlib.counts import answers, invitations, people, purchases
from cxlib.counts.invitations import Asked
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, interval, listing, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.scores.estimates import UNITS, UNKNOWN, estimate, hidden, kind_of, since, write
from cxlib.stats import draws, weighting
from cxlib.stats.estimate import Estimate

FEWEST = 10  # answers of a level for it to be weighted by itself
SETTLED = 0.99  # share of answers that have come by the time a question counts as unanswered
RAW, WEIGHTED, RAKED = "as answered", "weighted for silence", "raked to the customers of today"


def funnel(company: Company, metric: str = "", window_months: int = 12) -> Finding:
    """Answer: whose voice is it? Customers here in the window, those asked, those who answered."""
    name, title = "funnel", "Customers here, asked and heard"
    metric = answers.choose(company, metric)
    if not metric:
        return unanswered(name, title, "no question was answered.")
    start = since(company, window_months)
    found = invitations.heard(company, metric, start)
    if found["answered"] < company.settings.privacy.minimum_base:
        return unanswered(name, title, "too few customers have answered.")
    rows = [{"stage": k, "customers": v, "share": v / max(found["here"], 1)} for k, v in found.items()]
    within = f" at some time in the last {window_months} months" if start else ""
    text = f"Of {found['here']:,} customers here{within}, {found['asked']:,} were asked for {metric.upper()} and "
    text += f"{found['answered']:,} answered ({percent(rows[2]['share'], 0)}): all counted, not estimated."
    only = found["asked"] == found["answered"]
    caveats = (
        ("The export holds only answered questions: who was asked and said nothing is not in it.",) if only else ()
    )
    return Finding(name, f"{title}: {metric.upper()}", text, "D", pd.DataFrame(rows), caveats=caveats)


def rates(company: Company, metric: str = "", leaving_days: int = 90) -> Finding:
    """Answer: who is silent? Share of questions answered by segment, and by whether the customer left soon after.

    Questions too young to count as unanswered are left out: those younger than the time in which 99 % of answers came.
    """
    name, title = "silence", "Share of questions answered"
    metric = answers.choose(company, metric)
    if not metric:
        return unanswered(name, title, "no question was answered.")
    until = _settled(company, metric)
    leaves = company.settings.relationship == "contractual" and company.has("customers", "left_on") and until
    resampling = resamples(company)
    soon = f"left within {leaving_days} days"
    asks = {"all": Asked(metric, until=until)} | {
        c: Asked(metric, (c,), until=until) for c in answers.cuts(company, metric)
    }
    asks |= {soon: Asked(metric, until=until, leaving_days=leaving_days)} if leaves else {}
    rows, drawn, unseen = [], {}, 0
    for cut, asked in asks.items():
        counted = invitations.response_counts(company, asked)
        counted["level"] = counted[asked.keys[0]] if asked.keys else "everybody asked"
        columns = ["asked_weight", "answered_weight", "asked", "customers"]
        keys, sums = draws.resample(counted, "fold", columns, ["level"], resampling)
        hide = hidden(company, sums[0, :, 3])
        unseen += int(hide.sum())
        with np.errstate(invalid="ignore", divide="ignore"):
            share = sums[..., 1] / sums[..., 0]
        for level in people.in_order(cut, keys["level"]):
            i = list(keys["level"]).index(level)
            drawn[cut, level] = share[:, i]
            e = draws.estimate(share[0, i], share[1:, i], sums[0, i, 2], low=0, high=1)
            rows.append({"segment": cut, "level": level, "estimate": UNKNOWN if hide[i] else e})
    everybody = rows[0]["estimate"]
    if not everybody.n > 0:
        return unanswered(name, title, f"fewer than {company.settings.privacy.minimum_base} customers were asked.")
    if everybody.value >= 1:
        return unanswered(name, title, "the export holds only answered questions, so the silent cannot be counted.")
    text = f"{interval(everybody, percent)} of {everybody.n:,.0f} {metric.upper()} questions were answered"
    shown = {(r["segment"], r["level"]) for r in rows if r["estimate"].n > 0}
    if {(soon, "yes"), (soon, "no")} <= shown:
        gap = drawn[soon, "yes"] - drawn[soon, "no"]
        e = draws.estimate(100 * gap[0], 100 * gap[1:], everybody.n)
        verdict = "they fell silent before" if e.high < 0 else "they were no more silent than others, as far as seen"
        text += f"; of those who {soon} {percent(drawn[soon, 'yes'][0])}, {interval(e)} points against the others: {verdict}"
    text += "."
    figures = (
        Figure(f"{metric}-response-rate", f"{metric.upper()} questions answered", everybody, "share", "questions"),
    )
    caveats = [f"{unseen} small groups are not shown, or would give a small one away."] if unseen else []
    if until and until < company.as_of:
        caveats.append(
            f"Questions of the last {(company.as_of - until).days} days are not counted: their answers may still come."
        )
    return Finding(name, f"Share of {metric.upper()} questions answered", text, "D",
                   table(rows, ["segment", "level"]), figures, tuple(caveats))  # fmt: skip


def comments(company: Company, metric: str = "") -> Finding:
    """Answer: who says why? Share of answers with a comment, by band."""
    name, title = "comments", "Share of answers with a comment"
    metric = answers.choose(company, metric)
    if not metric or not company.has("responses", "comment"):
        return unanswered(name, title, "the answers carry no comments." if metric else "no question was answered.")
    resampling = resamples(company)
    counted = invitations.comment_counts(company, metric)
    keys, sums = draws.resample(counted, "fold", ["weight", "commented", "customers", "n"], ["band"], resampling)
    order = [b.name for b in answers.bands(company, metric) if b.name in set(keys["band"])]
    where = [list(keys["band"]).index(b) for b in order]
    sums = sums[:, where]
    if not sums[0, :, 1].sum() or hidden(company, sums[0, :, 2]).any():
        return unanswered(name, title, "too few answers carry a comment.")
    share = sums[..., 1] / sums[..., 0]
    rows = [
        {"band": b, "estimate": draws.estimate(share[0, i], share[1:, i], sums[0, i, 3], low=0, high=1)}
        for i, b in enumerate(order)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        times = share[:, 0] / share[:, -1]
    e = draws.estimate(times[0], times[1:], float(sums[0, :, 3].sum()), low=0)
    ends = [
        f"{percent(share[0, i], 0)} of those at the {end} end ({order[i]})" for i, end in ((0, "bad"), (-1, "good"))
    ]
    text = f"{ends[0]} wrote a comment against {ends[1]}: {interval(e, lambda v: number(v, 2))} times as many."
    caveats = ("Comments are not the voice of all: read them with these shares in mind.",) if e.excludes(1) else ()
    return Finding(name, f"{title}: {metric.upper()}", text, "D", table(rows, ["band"]), caveats=caveats)


def _settled(company: Company, metric: str) -> date | None:
    """Return the day of the last questions that count as unanswered if no answer has come; None without dates."""
    if not company.has("responses", "asked_at"):
        return None
    lags = invitations.answer_lags(company, metric)
    if lags.empty:
        return company.as_of
    come = lags["n"].cumsum() / lags["n"].sum()
    lag = int(lags.loc[(come >= SETTLED).idxmax(), "lag"])
    return (pd.Timestamp(company.as_of) - pd.Timedelta(days=lag)).date()


@dataclass(frozen=True)
class Weighted:
    """What weighting does to a score in one window: one estimate per way of weighting, with effective n and largest."""

    rows: list[dict]
    asked: float
    bounds: tuple[float, float]
    uncovered: float
    unreached: float
    trimmed: float
    predictors: list[str]


def reweighted(
    company: Company, metric: str, start: date | None = None, leaving_days: int = 90, rake: bool = True
) -> Weighted | None:
    """Weight the answers of a metric to all questions asked, and to the customers of today; None where nobody is silent.

    The model of who answers knows what is known of everybody asked: the declared segments, channel, touchpoint, the stage
    of the relationship, the year, and whether the customer left soon after. Every answer counts (the interval allows for
    several of one customer), so the raw score may differ from the headline, which takes the latest of each customer.
    """
    until = _settled(company, metric)
    leaves = company.settings.relationship == "contractual" and company.has("customers", "left_on") and until
    by = tuple(answers.cuts(company, metric))
    asked = Asked(metric, by, start, until, leaving_days if leaves else None, year=until is not None)
    cells = invitations.response_counts(company, asked, folds=False)
    n, answered = float(cells["asked"].sum()), float(cells["answered"].sum())
    if not answered:
        return None
    predictors = [k for k in asked.keys if cells[k].nunique() > 1]
    kind, ways = kind_of(metric), {RAW: np.ones(len(cells))}
    model, trimmed, unreached = None, 0.0, 0.0
    if answered < n and predictors:
        model = weighting.response_model(cells, "asked", "answered", predictors)
        inverse = weighting.inverse_probability_weights(model.probability, cells["answered"])
        ways[WEIGHTED], trimmed = inverse.weight, inverse.trimmed
    if rake and (today := _today(company, cells)):
        merged, margins, unreached = today
        ways[RAKED] = weighting.rake(merged, "answered", margins)
    rows = []
    for way, counted in invitations.weighted_scores(company, asked, cells[asked.keys].assign(**ways)).items():
        e = estimate(company, metric, counted, kind, weighted=way != RAW or answers.weighted(company))
        size = float(counted["weight"].sum() ** 2 / counted["squares"].sum())
        largest = float(counted["largest"].max() * counted["n"].sum() / counted["weight"].sum())
        rows.append({"weights": way, "estimate": e, "effective answers": size, "largest weight": largest})
    ends = (-100.0, 100.0) if kind == "nps" else tuple(float(v) for v in company.settings.metrics[metric].scale)
    bounds = weighting.bounds(rows[0]["estimate"].value * answered, answered, n, *ends)
    return Weighted(rows, n, bounds, model.uncovered if model else 0.0, unreached, trimmed, predictors)


def _today(company: Company, cells: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, pd.Series], float] | None:
    """Return cells and margins for raking to the customers of today, small levels taken together, and who is not reached."""
    merged, margins, unreached = cells.copy(), {}, 0.0
    for segment in people.segments(company):
        base = purchases.paying_base(company, by=[segment]).groupby(segment, observed=True)["n"].sum()
        answered = cells.groupby(segment, observed=True)["answered"].sum().reindex(base.index, fill_value=0)
        alone = answered.index[(answered >= FEWEST) & (base > 0)]
        merged[segment] = cells[segment].where(cells[segment].isin(alone), "others")
        base = base.groupby(base.index.where(base.index.isin(alone), "others")).sum()
        heard = merged.groupby(segment, observed=True)["answered"].sum().reindex(base.index, fill_value=0)
        unreached = max(unreached, float(base[heard == 0].sum()))
        base = base[(heard > 0) & (base > 0)]
        if len(base) > 1 and set(merged.loc[merged["answered"] > 0, segment]) == set(base.index):
            margins[segment] = base / base.sum()
    return (merged, margins, unreached) if margins else None


def weighted(company: Company, metric: str = "", window_months: int = 12, leaving_days: int = 90) -> Finding:
    """Answer: what would the score be, had the silent answered like those who are alike, or in the worst and best case?"""
    name, title = "weighted", "Score weighted for those who did not answer"
    metric = answers.choose(company, metric)
    if not metric:
        return unanswered(name, title, "no question was answered.")
    start, least = since(company, window_months), company.settings.privacy.minimum_base
    windows = {"all questions": None} | ({f"last {window_months} months": start} if start else {})
    rows, found = [], {}
    for window, first in windows.items():
        one = reweighted(company, metric, first, leaving_days)
        if one is None or one.rows[0]["estimate"].n < least:
            continue
        found[window] = one
        rows += [{"window": window, **r} for r in one.rows]
        if one.asked > one.rows[0]["estimate"].n:
            ends = Estimate(np.nan, *one.bounds, n=one.asked)
            rows.append({"window": window, "weights": "worst and best case of the silent", "estimate": ends})
    if not found:
        return unanswered(name, title, "too few questions were answered.")
    window, now = list(found.items())[-1]
    values = {r["weights"]: r["estimate"] for r in now.rows}
    label, raw = metric.upper(), values[RAW]
    if now.asked == raw.n:
        return unanswered(name, title, "the export holds only answered questions, so nothing is known of the silent.")
    low, high = now.bounds
    bounds = (
        f"had all the silent given the worst or the best answer, {label} of everybody asked would be {number(low)} or "
        f"{number(high)}."
    )
    if WEIGHTED not in values:
        text = f"Nothing is known of the {now.asked - raw.n:,.0f} who were asked and did not answer, so no weights can be given: {bounds}"
        return Finding(name, f"{label} as answered, and its bounds", text, "D", table(rows, ["window", "weights"]))
    text = f"Over {raw.n:,.0f} answers ({window}) {label} is {write(metric, raw)} as answered and "
    text += f"{write(metric, values[WEIGHTED])} with each answer weighted for those alike who were silent"
    text += f"; raked to the customers of today, {write(metric, values[RAKED])}." if RAKED in values else "."
    silent = 1 - raw.n / now.asked
    step = 10 if metric == "nps" else 0.5
    caveats = [
        ("Every answer counts here, where the headline takes the latest of each customer. " if metric == "nps" else "")
        + "The intervals take the weights as given.",
        f"Weighting mends only silence that goes with {listing(_WORDS.get(p, p) for p in now.predictors)}. If silence depends on "
        f"what somebody would have answered, no weighting can mend it: {bounds}",
        f"If the silent would have answered {number(step)} points lower than those alike who did answer, the weighted score would "
        f"be {number(step * silent)} points too high.",
    ]
    target = company.settings.metrics[metric].target
    if target is not None:
        need = weighting.silent_would_need(raw.value * raw.n, raw.n, now.asked, target)
        caveats.append(
            f"For everybody asked to stand at the target of {number(target)}, the silent would have to stand at {number(need)}."
        )
    sizes = {r["weights"]: r for r in now.rows}
    weigh = sizes[WEIGHTED]
    caveats.append(
        f"The weights leave {weigh['effective answers']:,.0f} effective answers of {raw.n:,.0f}; the largest is "
        f"{number(weigh['largest weight'], 2)} times the average"
        + (f", {now.trimmed:,.0f} answers had a larger one cut." if now.trimmed else ".")
    )
    if now.uncovered:
        caveats.append(
            f"{now.uncovered:,.0f} questions went to groups of which nobody answered: no answer stands for them."
        )
    if now.unreached:
        caveats.append(
            f"{now.unreached:,.0f} customers of today are in groups nobody of which answered: raking leaves them out."
        )
    figures = (
        Figure(
            f"{metric}-weighted",
            f"{label} weighted for silence, {window}",
            values[WEIGHTED],
            UNITS[kind_of(metric)],
            "answers",
        ),
    )
    return Finding(
        name,
        f"{label} as answered and weighted",
        text,
        "C",
        table(rows, ["window", "weights"]),
        figures,
        tuple(caveats),
    )


_WORDS = {"left": "leaving soon after", "year": "the year", "stage": "the time as a customer"}
