"""04_value: what a new customer is worth: the simple formula beside a model, the cost of winning one, and referrals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import answers, follow_up, people, upsells
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.intake.company import Company
from cxlib.page.findings import Figure, Finding, day, interval, money, number, percent, table, unanswered
from cxlib.page.resamples import resamples
from cxlib.stats import draws, finance, survival
from cxlib.stats.estimate import Estimate
from cxlib.page.valuation import period_rate
from cxlib.value import purchase_models
from cxlib.value.purchase_models import by_fold

MODEL = "BG/NBD"  # of what a new buyer buys

# What the table of the simple formula shows, by the heading a reader sees.
SIMPLE = {"what": "What", "unit": "Unit", "value": "Value", "low": "Low", "high": "High", "n": "Base"}


@dataclass(frozen=True, eq=False)
class _Newcomer:
    """What a new customer is expected to bring: ``revenue`` is draws x months since joining (0 first), undiscounted."""

    revenue: np.ndarray
    n: float
    said: str

    def margin(self, company: Company) -> np.ndarray:
        """Return the discounted margin up to each month: draws x months."""
        factors = finance.discount_factors(period_rate(company), self.revenue.shape[1], "now")
        return np.cumsum(self.revenue * (company.settings.money.gross_margin * factors), axis=1)


@lru_cache(maxsize=2)  # asked for by three sections of a page
def _newcomer(company: Company) -> _Newcomer | str:
    """Return what a new customer brings over the horizon of the money block, or why that is not known."""
    if company.settings.money is None:
        return NO_MONEY
    return _subscriber(company) if company.settings.relationship == "contractual" else _buyer(company)


def _subscriber(company: Company) -> _Newcomer | str:
    """Survival from joining (Kaplan-Meier, late entry with ``leavers_since``) times the fee of those who joined in the last year.

    By the first declared segment, in their mix; segments in which too few are followed for so long are taken together.
    """
    missing = people.require(company, "customers", "joined_on", "left_on", "monthly_revenue")
    if missing:
        return f"{missing}."
    m, least, weights = company.settings.money, company.settings.privacy.minimum_base, resamples(company)
    horizon = math.ceil(m.horizon_months * DAYS_A_MONTH)
    found = upsells.newcomers(company, horizon)

    def cells(frame: pd.DataFrame, at: pd.Series | int, column: str) -> np.ndarray:
        grid = np.zeros((weights.shape[1], horizon))
        np.add.at(grid, (frame["fold"].to_numpy(), at), frame[column].to_numpy(float))
        return grid

    def parts(of: Callable[[pd.Series], pd.Series]) -> dict[str, tuple[pd.DataFrame, ...]]:
        frames = [f.assign(stratum=of(f["stratum"])) for f in (found.entered, found.ended, found.joined)]
        return {s: tuple(f[f["stratum"] == s] for f in frames) for s in frames[2]["stratum"].unique()}

    def sound(part: tuple[pd.DataFrame, ...]) -> bool:
        entered, ended, joined = part
        at_risk = np.cumsum(cells(entered, entered["day"], "n").sum(0))
        at_risk[1:] -= np.cumsum(cells(ended, ended["day"] - 1, "n").sum(0))[:-1]
        return joined["priced"].sum() >= least and at_risk.min() >= least

    own = {s for s, part in parts(lambda s: s).items() if sound(part)}
    levels = parts(lambda s: s.where(s.isin(own), "all others"))
    if not all(sound(p) for p in levels.values()):
        levels = parts(lambda s: s.mask(s.notna(), "all"))
    if not levels or not all(sound(p) for p in levels.values()):
        return (
            f"fewer than {least} customers are followed for {m.horizon_months} months from joining on, or joined with a fee in the "
            "last year."
        )
    first = 0 if m.first_flow == "now" else 1
    paid_on = [round((k + first) * DAYS_A_MONTH) for k in range(m.horizon_months)]
    revenue, everybody = np.zeros((len(weights), m.horizon_months + first)), 0.0
    for entered, ended, joined in levels.values():
        sides = (
            cells(ended, ended["day"] - 1, "events"),
            cells(ended, ended["day"] - 1, "n"),
            cells(entered, entered["day"], "n"),
        )
        still = survival.survival_matrix(*(weights @ side for side in sides))
        still = np.hstack([np.ones((len(still), 1)), still])
        n, fee, priced = (weights @ by_fold(joined["fold"], joined[c], weights) for c in ("n", "fee", "priced"))
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold nobody of a level
            revenue[:, first:] += (n * fee / priced)[:, None] * still[:, paid_on]
        everybody = everybody + n
    said = "survival from joining on, times the fee of those who joined in the last year"
    said += f", by {people.segments(company)[0]}" if len(levels) > 1 else ""
    return _Newcomer(revenue / everybody[:, None], float(everybody[0]), said)


def _buyer(company: Company) -> _Newcomer | str:
    """First purchase, and those expected after it (BG/NBD; Fader, Hardie & Lee 2005), times what they are worth on average."""
    if why := purchase_models.why_not(company):
        return why
    m, weights, first = company.settings.money, resamples(company), int(company.settings.money.first_flow == "end")
    fits = purchase_models.today(company)
    if MODEL not in fits.models:
        return fits.failed[MODEL]
    weeks = np.arange(1, m.horizon_months + 1) * DAYS_A_MONTH / 7
    bought = fits.spread(MODEL, lambda p: fits.models[MODEL].expected_purchases(weeks, p))
    bought = np.hstack([np.zeros((len(bought), 1)), bought])
    spent = upsells.first_and_later(company)
    one, one_worth, later, later_worth = (
        weights @ by_fold(spent["fold"], spent[c], weights) for c in spent.columns.drop("fold")
    )
    revenue = np.zeros((len(weights), m.horizon_months + first))
    revenue[:, first:] = np.diff(bought, axis=1) * (later_worth / later)[:, None]
    revenue[:, 0] += one_worth / one
    said = "the first purchase and those expected after it by a model of buying (BG/NBD), at what first and later purchases bring"
    return _Newcomer(revenue, float(one[0]), said)


def simple(company: Company) -> Finding:
    """Answer: what does the simple formula say? Purchase value x frequency x lifespan: a sanity bound, not a value.

    Revenue, undiscounted. The lifespan is that of those gone, or the time so far of those here; both are too short, and the
    purchases are those of survivors. Source: Fader & Hardie, note 033.
    """
    name, title, currency = (
        "simple-value",
        "The simple formula: purchase value x frequency x lifespan",
        company.settings.currency or "",
    )
    contractual, weights = company.settings.relationship == "contractual", resamples(company)
    fees = contractual and company.has("customers", "monthly_revenue")
    missing = people.require(company, "customers", "joined_on", "left_on") if contractual else None
    if missing := missing or (None if fees else people.require(company, "orders")):
        return unanswered(name, title, f"{missing}.")
    lives, least = upsells.lifetimes(company), company.settings.privacy.minimum_base
    if fees:
        paying = follow_up.paying(company)
        n, revenue = (weights @ by_fold(paying["fold"], paying[c], weights) for c in ("n", "revenue"))
        each, often, base = revenue / n, np.full(len(n), 12.0), (n[0], n[0])
        what = ("monthly fee of customers of today", "payments a year, by definition")
    else:
        year = upsells.year_of_orders(company)
        buyers, many, revenue = (
            weights @ by_fold(year["fold"], year[c], weights) for c in ("buyers", "orders", "revenue")
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            each, often, base = revenue / many, many / buyers, (many[0], buyers[0])
        what = ("revenue of an order in the last year", "orders a year of those who ordered in it")
    sizes = lives.groupby("here")["n"].sum().reindex([False, True], fill_value=0)
    if min(*sizes, *base) < least:
        return unanswered(
            name, title, f"it needs {least} customers who are here, as many who are gone, and what they pay."
        )
    gone, here = (
        weights @ by_fold(part["fold"], part["years"], weights) / (weights @ by_fold(part["fold"], part["n"], weights))
        for part in (lives[lives["here"] == h] for h in (False, True))
    )
    spans = ("time those gone had stayed", "time so far of those here")
    values = [each * often * span for span in (gone, here)]
    lines = [
        (what[0], currency, each, base[0]), (what[1], "a year", often, base[1]),
        (spans[0], "years", gone, sizes[False]), (spans[1], "years", here, sizes[True]),
        (f"simple value, by the {spans[0]}", currency, values[0], base[1]),
        (f"simple value, by the {spans[1]}", currency, values[1], base[1]),
    ]  # fmt: skip
    new, m = _newcomer(company), company.settings.money
    if not isinstance(new, str):
        lines += [(f"model: revenue of a new customer in {m.horizon_months} months, undiscounted", currency, new.revenue.sum(1), new.n),
                  (f"model: margin of a new customer in {m.horizon_months} months, discounted", currency, new.margin(company)[:, -1],
                   new.n)]  # fmt: skip
    rows = [{"what": w, "unit": u, "estimate": draws.estimate(d[0], d[1:], float(n), low=0)} for w, u, d, n in lines]
    if fees:
        rows[1]["estimate"] = Estimate(12.0, 12.0, 12.0, 0.0, float(base[1]))
    write, found = lambda v: money(v, currency), [r["estimate"] for r in rows]
    text = (
        f"By the simple formula a customer brings {interval(found[4], write)}: {money(found[0].value, currency, 2)} x "
        f"{number(found[1].value)} a year x {number(found[2].value, 2)} years, the {spans[0]}; with the {spans[1]} it says "
        f"{interval(found[5], write)}."
    )
    if not isinstance(new, str):
        text += f" The model expects {interval(found[6], write)} of revenue from a new customer in {m.horizon_months} months, a discounted "
        text += f"margin of {interval(found[7], write)}."
    figures = [
        Figure("simple-value", f"Simple value, by the {spans[0]}", found[4], currency),
        Figure("simple-value-here", f"Simple value, by the {spans[1]}", found[5], currency),
    ]
    caveats = [
        "A bound to check other values by, not a value: it is revenue, not discounted, and what is paid is that of customers "
        "who have stayed. Those gone are the ones who stay short, and those here have not finished: both times are too short "
        "for a whole life.",
    ]  # fmt: skip
    caveats.append(
        f"No model beside it: {new}" if isinstance(new, str) else f"The model: {new.said}; it ends at its horizon."
    )
    if since := follow_up.watched_from(company):
        caveats.append(f"Who left before {day(since)} is missing from the time of those gone.")
    return Finding(name, title, text, "D", table(rows, ["what", "unit"]), tuple(figures), tuple(caveats))


def acquisition(company: Company) -> Finding:
    """Answer: when is the cost of winning a customer earned back? Cumulated discounted margin of a new customer, less it.

    The interval of the months is where the band of that path crosses zero (as Brookmeyer & Crowley 1982 do for a median).
    """
    name, title = "acquisition", "Margin of a new customer less the cost of winning one"
    if company.settings.money is not None and company.settings.money.acquisition_cost is None:
        return unanswered(name, title, "company.yaml gives no money.acquisition_cost, what winning one customer costs.")
    new = _newcomer(company)
    if isinstance(new, str):
        return unanswered(name, title, new)
    m, currency, path = company.settings.money, company.settings.currency, new.margin(company)
    each = [draws.estimate(path[0, k], path[1:, k], new.n) for k in range(path.shape[1])]
    cost = m.acquisition_cost
    net = [Estimate(e.value - cost, e.low - cost, e.high - cost, e.se, e.n) for e in each]
    back = _earned_back(net)
    write = lambda v: money(v, currency)  # noqa: E731
    text = f"A new customer is expected to bring {interval(each[-1], write)} of margin in {m.horizon_months} months and costs "
    text += f"{write(cost)} to win: "
    if math.isinf(back.value):
        text += f"the cost is not expected to be earned back within {m.horizon_months} months."
    else:
        text += "the cost is earned back " + (
            f"after {interval(back)} months." if back.value else "with the first payment."
        )
    note = (
        ""
        if math.isfinite(back.low)
        else "not earned back within the horizon"
        if math.isinf(back.low)
        else "all resamples agree"
    )
    figures = (
        Figure("new-customer-margin", f"Margin of a new customer in {m.horizon_months} months", each[-1], currency,
               note="" if math.isfinite(each[-1].low) else "all resamples agree"),
        Figure("acquisition-payback", "Months until the cost of winning a customer is earned back", back, "months", note=note),
    )  # fmt: skip
    caveats = (
        f"Expected margin: {new.said}, times the gross margin of {percent(m.gross_margin, 0)}, discounted at "
        f"{percent(m.discount_rate)} a year.",
        "The cost is the one given in company.yaml, an average: customers won by a campaign may stay otherwise than those of the past.",
    )
    rows = [{"month": k, "estimate": e} for k, e in enumerate(net)]
    return Finding(name, title, text, "D", table(rows, ["month"]), figures, caveats)


def _earned_back(net: Sequence[Estimate]) -> Estimate:
    """Return the months until a path (month by month from 0) reaches 0; infinite where it does not."""
    value, low, high = (np.array([getattr(e, k) for e in net]) for k in ("value", "high", "low"))
    reach = lambda p: finance.payback(np.diff(p, prepend=0)) if np.isfinite(p).all() else math.nan  # noqa: E731
    return Estimate(reach(value), reach(low), reach(high), n=net[0].n)


def referrals(company: Company) -> Finding:
    """Answer: what would the customers be worth whom promoters bring in? An assumption of the user, added to no total.

    Promoters of today (last answer not older than a year) x the customers each brings in a year x the value of a new one.
    """
    name, title = "referrals", "Referrals by promoters: an assumption, added to no total"
    m = company.settings.money
    if m is None or m.referred_per_promoter is None:
        return unanswered(
            name,
            title,
            "off. It needs money.referred_per_promoter in company.yaml, an assumption: who else would not have come.",
        )
    if company.settings.relationship != "contractual":
        return unanswered(name, title, "without contracts nobody knows which promoters are customers today.")
    if "nps" not in answers.metrics(company) or not answers.dated(company):
        return unanswered(name, title, "there are no dated answers to nps, so nobody is known as a promoter of today.")
    new = _newcomer(company)
    if isinstance(new, str):
        return unanswered(name, title, new)
    now, weights = follow_up.today(company, "nps"), resamples(company)
    promoters = now[now["band"] == "promoter"]
    here = weights @ by_fold(promoters["fold"], promoters["n"], weights)
    if here[0] < company.settings.privacy.minimum_base:
        return unanswered(name, title, "too few customers of today were promoters within a year.")
    currency, came = company.settings.currency, here * m.referred_per_promoter
    worth = came * new.margin(company)[:, -1]
    e = draws.estimate(worth[0], worth[1:], float(here[0]), low=0)
    text = (
        f"Assumed, not found: if each of {here[0]:,.0f} promoters of today brought in {m.referred_per_promoter:g} customers a year who "
        f"would not have come otherwise, these {number(came[0], 0)} would be worth {interval(e, lambda v: money(v, currency))} of margin "
        f"in {m.horizon_months} months. It is in no total."
    )
    figures = (Figure("referrals", "Assumed value of a year's referrals, in no total", e, currency, "promoters",
                      "" if math.isfinite(e.low) else "all resamples agree"),)  # fmt: skip
    caveats = (
        "The number brought in is an assumption of company.yaml; the interval does not hold its uncertainty. Marketing may count "
        "the same customers, and what a referral costs is not taken off.",
        f"A new customer: {new.said}.",
    )
    return Finding(name, title, text, "D", figures=figures, caveats=caveats)
