"""04_value: what a new customer is worth: the simple formula next to a model, acquisition cost, and referrals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from cxlib.counts import answers, follow_up, people, purchases, upsells
from cxlib.counts.people import DAYS_A_MONTH
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import valuation, words
from cxlib.page.findings import Answer, Figure, answer, finding, table
from cxlib.page.resamples import resamples
from cxlib.stats import draws, finance, survival
from cxlib.stats.estimate import Estimate
from cxlib.value import purchase_models

MODEL = "BG/NBD"  # of what a new buyer buys
AGREE = "all resamples agree"


@dataclass(frozen=True, eq=False)
class _Newcomer:
    """What a new customer is expected to bring: ``revenue`` is draws x months since joining (0 first), undiscounted.

    ``n``: new customers behind it; ``by``: the segment by which it was worked out, "" for all together.
    """

    revenue: np.ndarray
    n: float
    by: str = ""

    def margin(self, company: Company) -> np.ndarray:
        """Return the discounted margin up to each month: draws x months."""
        factors = finance.discount_factors(valuation.period_rate(company), self.revenue.shape[1], "now")
        return np.cumsum(self.revenue * (valuation.money_of(company).gross_margin * factors), axis=1)


@lru_cache(maxsize=2)  # three sections of a page need it
def _newcomer(company: Company) -> _Newcomer:
    """Return what a new customer brings over the horizon of the money block; Unanswered where that is not known."""
    return _subscriber(company) if company.settings.relationship == "contractual" else _buyer(company)


@lru_cache(maxsize=2)
def _followed(company: Company, horizon: int) -> upsells.Newcomers:
    return upsells.newcomers(company, horizon)


def _subscriber(company: Company) -> _Newcomer:
    """Survival since joining times the fee of those who joined in the last year.

    Kaplan-Meier, with late entry where ``leavers_since`` is set; by the first declared segment, averaged in their mix.
    Segments with too few customers followed for the horizon are merged.
    """
    people.require(company, "customers", "joined_on", "left_on", "monthly_revenue")
    m, least, weights = valuation.money_of(company), company.settings.privacy.minimum_base, resamples(company)
    horizon = math.ceil(m.horizon_months * DAYS_A_MONTH)
    found = _followed(company, horizon)

    def daily(frame: pd.DataFrame, at: pd.Series, column: str, matrix: np.ndarray = weights) -> np.ndarray:
        return draws.summed(matrix, frame["fold"], frame[column], (at,), (horizon,))

    def parts(of: Callable[[pd.Series], pd.Series]) -> dict[str, tuple[pd.DataFrame, ...]]:
        frames = [f.assign(stratum=of(f["stratum"])) for f in (found.entered, found.ended, found.joined)]
        return {s: tuple(f[f["stratum"] == s] for f in frames) for s in frames[2]["stratum"].unique()}

    def sound(part: tuple[pd.DataFrame, ...]) -> bool:
        entered, ended, joined = part
        at_risk = np.cumsum(daily(entered, entered["day"], "n", weights[:1])[0])
        at_risk[1:] -= np.cumsum(daily(ended, ended["day"] - 1, "n", weights[:1])[0])[:-1]
        return joined["priced"].sum() >= least and at_risk.min() >= least

    own = {s for s, part in parts(lambda s: s).items() if sound(part)}
    levels = parts(lambda s: s.where(s.isin(own), "all others"))
    if not all(sound(p) for p in levels.values()):
        levels = parts(lambda s: s.mask(s.notna(), "all"))
    if not levels or not all(sound(p) for p in levels.values()):
        raise Unanswered("few-newcomers", horizon=m.horizon_months)
    first = 0 if m.first_flow == "now" else 1
    paid_on = [round((k + first) * DAYS_A_MONTH) for k in range(m.horizon_months)]
    revenue, everybody = np.zeros((len(weights), m.horizon_months + first)), 0.0
    for entered, ended, joined in levels.values():
        gone = (daily(ended, ended["day"] - 1, c) for c in ("events", "n"))
        still = survival.survival_matrix(*gone, daily(entered, entered["day"], "n"))
        still = np.hstack([np.ones((len(still), 1)), still])
        n, fee, priced = (draws.summed(weights, joined["fold"], joined[c]) for c in ("n", "fee", "priced"))
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may have nobody of a level
            revenue[:, first:] += (n * fee / priced)[:, None] * still[:, paid_on]
        everybody = everybody + n
    by = people.segments(company)[0] if len(levels) > 1 else ""
    return _Newcomer(revenue / everybody[:, None], float(everybody[0]), by)


def _buyer(company: Company) -> _Newcomer:
    """First purchase, and the expected later ones (BG/NBD; Fader, Hardie & Lee 2005), times their mean values."""
    purchase_models.require(company)
    m, weights = valuation.money_of(company), resamples(company)
    first, fits = int(m.first_flow == "end"), purchase_models.today(company)
    fits.require_models()
    if MODEL not in fits.models:
        raise Unanswered("no-buying-model", models=[MODEL])
    weeks = np.arange(1, m.horizon_months + 1) * DAYS_A_MONTH / 7
    bought = fits.spread(MODEL, lambda p: fits.models[MODEL].expected_purchases(weeks, p))
    bought = np.hstack([np.zeros((len(bought), 1)), bought])
    spent = purchases.first_and_later(company)
    one, one_worth, later, later_worth = (
        draws.summed(weights, spent["fold"], spent[c]) for c in spent.columns.drop("fold")
    )
    revenue = np.zeros((len(weights), m.horizon_months + first))
    revenue[:, first:] = np.diff(bought, axis=1) * (later_worth / later)[:, None]
    revenue[:, 0] += one_worth / one
    return _Newcomer(revenue, float(one[0]))


def _label(part: str, **facts: object) -> str:
    return words.say(__file__, "simple-value", part, **facts)


@finding("simple-value")
def simple(company: Company) -> Answer:
    """Answer: what does the simple formula say? Purchase value x frequency x lifespan: a rough check, not a value.

    Revenue, undiscounted. The lifespan is that of customers who left, or the time so far of those here. Both are too
    short, and the purchases are those of survivors. Source: Fader & Hardie, note 033.
    """
    contractual, weights = company.settings.relationship == "contractual", resamples(company)
    fees = contractual and company.has("customers", "monthly_revenue")
    if contractual:
        people.require(company, "customers", "joined_on", "left_on")
    if not fees:
        people.require(company, "orders")
    lives, currency = upsells.lifetimes(company), company.settings.currency or ""
    if fees:
        paying = follow_up.paying(company)
        n, revenue = (draws.summed(weights, paying["fold"], paying[c]) for c in ("n", "revenue"))
        paid = np.divide(revenue, n, out=np.full(len(n), np.nan), where=n > 0)  # nobody may pay in a resample
        each = draws.mean(paying["revenue"], paying["n"], paying["fold"], weights)
        often, base = np.full(len(n), 12.0), (n[0], n[0])
    else:
        year = upsells.year_of_orders(company)
        buyers, many, revenue = (draws.summed(weights, year["fold"], year[c]) for c in ("buyers", "orders", "revenue"))
        with np.errstate(invalid="ignore", divide="ignore"):
            paid, often, base = revenue / many, many / buyers, (many[0], buyers[0])
        each = draws.mean(year["revenue"], year["orders"], year["fold"], weights)
    sizes = lives.groupby("here")["n"].sum().reindex([False, True], fill_value=0)
    if min(*sizes, *base) < company.settings.privacy.minimum_base:
        raise Unanswered("simple-formula-needs")
    gone, here = (
        draws.summed(weights, part["fold"], part["years"]) / draws.summed(weights, part["fold"], part["n"])
        for part in (lives[lives["here"] == h] for h in (False, True))
    )
    lines = [
        ("paid", currency, paid, base[0]), ("often", "a year", often, base[1]),
        ("gone", "years", gone, sizes[False]), ("here", "years", here, sizes[True]),
        ("by_gone", currency, paid * often * gone, base[1]), ("by_here", currency, paid * often * here, base[1]),
    ]  # fmt: skip
    new, months = None, 0
    with suppress(Unanswered):
        new, months = _newcomer(company), valuation.money_of(company).horizon_months
        lines += [
            ("revenue", currency, new.revenue.sum(1), new.n), ("margin", currency, new.margin(company)[:, -1], new.n),
        ]  # fmt: skip
    found = {k: draws.estimate(d[0], d[1:], float(n), low=0) for k, __, d, n in lines}
    found["paid"] = each
    if fees:
        found["often"] = Estimate(12.0, 12.0, 12.0, 0.0, float(base[1]))
    rows = [{"what": _label(k, fees=fees, horizon=months), "unit": u, "estimate": found[k]} for k, u, __, __ in lines]
    figures = [
        Figure("simple-value", _label("by_gone"), found["by_gone"], currency),
        Figure("simple-value-here", _label("by_here"), found["by_here"], currency),
    ]
    ends = sorted(found[k].value for k in ("by_gone", "by_here"))
    return answer(
        "forecast", table(rows, ["what", "unit"]), figures,
        lowest=ends[0], highest=ends[1], paid=found["paid"].value, often=found["often"].value,
        gone=found["gone"].value, here=found["here"].value, by_gone=found["by_gone"], by_here=found["by_here"],
        modelled=new is not None, revenue=found.get("revenue"), margin=found.get("margin"), horizon=months,
        contractual=contractual, fees=fees, inactive_after=company.settings.inactive_after_days,
        by=new.by if new else "", watched_from=follow_up.watched_from(company),
    )  # fmt: skip


@finding("acquisition")
def acquisition(company: Company) -> Answer:
    """Answer: when is the cost of winning a customer earned back? Discounted margin of a new customer so far, less it.

    The interval of the months is where the band of that path crosses zero (as Brookmeyer & Crowley 1982 do for a
    median).
    """
    new, m, currency = _newcomer(company), company.settings.money, company.settings.currency
    if m.acquisition_cost is None:
        raise Unanswered("no-acquisition-cost")
    path = new.margin(company)
    each = [draws.estimate(path[0, k], path[1:, k], new.n) for k in range(path.shape[1])]
    cost, margin = m.acquisition_cost, each[-1]
    net = [Estimate(e.value - cost, e.low - cost, e.high - cost, e.se, e.n) for e in each]
    back = _earned_back(net)
    within = words.say(__file__, "acquisition", "not_within")
    note = "" if math.isfinite(back.low) else within if math.isinf(back.low) else AGREE
    label = words.say(__file__, "acquisition", "margin", horizon=m.horizon_months)
    figures = [
        Figure("new-customer-margin", label, margin, currency, note="" if math.isfinite(margin.low) else AGREE),
        Figure("acquisition-payback", words.say(__file__, "acquisition", "payback"), back, "months", note=note),
    ]
    rows = [{"month": k, "estimate": e} for k, e in enumerate(net)]
    return answer(
        "forecast", table(rows, ["month"]), figures,
        cost=cost, margin=margin, horizon=m.horizon_months, back=back, reached=math.isfinite(back.value),
        at_once=back.value == 0, gross_margin=m.gross_margin, rate=m.discount_rate, by=new.by,
        contractual=company.settings.relationship == "contractual",
    )  # fmt: skip


def _earned_back(net: Sequence[Estimate]) -> Estimate:
    """Return the months until a path (month by month from 0) reaches 0; infinite where it does not."""
    value, low, high = (np.array([getattr(e, k) for e in net]) for k in ("value", "high", "low"))
    reach = lambda p: finance.payback(np.diff(p, prepend=0)) if np.isfinite(p).all() else math.nan  # noqa: E731
    return Estimate(reach(value), reach(low), reach(high), n=net[0].n)


@finding("referrals")
def referrals(company: Company) -> Answer:
    """Answer: what would the customers be worth whom promoters bring in? An assumption of the user, in no total.

    Promoters of today (last answer not older than a year) x customers that each brings in a year x value of a new one.
    """
    if company.settings.relationship != "contractual":
        raise Unanswered("no-contracts")
    answers.require_dates(company, answers.choose(company, ""))
    if "nps" not in answers.metrics(company):
        raise Unanswered("no-nps")
    m, currency = valuation.money_of(company), company.settings.currency
    if m.referred_per_promoter is None:
        raise Unanswered("referrals-off")
    new = _newcomer(company)
    now, weights = follow_up.today(company, "nps"), resamples(company)
    promoters = now[now["band"] == "promoter"]
    here = draws.summed(weights, promoters["fold"], promoters["n"])
    if here[0] < company.settings.privacy.minimum_base:
        raise Unanswered("few-promoters")
    came = here * m.referred_per_promoter
    drawn = came * new.margin(company)[:, -1]
    worth = draws.estimate(drawn[0], drawn[1:], float(here[0]), low=0)
    label, note = words.say(__file__, "referrals", "worth"), "" if math.isfinite(worth.low) else AGREE
    return answer(
        "forecast", None, [Figure("referrals", label, worth, currency, "promoters", note)],
        promoters=here[0], each=m.referred_per_promoter, referred=came[0], worth=worth, horizon=m.horizon_months,
        by=new.by,
    )  # fmt: skip
