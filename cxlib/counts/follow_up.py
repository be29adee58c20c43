"""What customers did after a question: episodes in the engine, and counts of them and of their time at risk.

A spell begins on the day a score was known. It ends on the day of leaving (without contracts: of the next order) or on
the as-of date. All tables here come from the spells of one metric, which the engine stores once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from cxlib.counts.answers import NO_ANSWER, bands, questions
from cxlib.counts.people import DAYS_A_MONTH, NONE, STAGE, added, as_text, days, everyone, here_today, segments, stage
from cxlib.counts.purchases import bought
from cxlib.intake.company import Company

RECENT_DAYS = 90  # before an answer, in which support cases count
PRICE = "price"
PAYMENTS = ("new", "renewal", "upsell")  # kinds of orders that pay for a contract
PRICES = ("price: low", "price: middle", "price: high", "price: not known")
BETTER, SAME, WORSE = "better", "the same", "worse"  # than the previous answer
CASES = ("no case", "1 case", "2 or more cases")


@lru_cache(maxsize=8)
def spells(company: Company, metric: str) -> ir.Table:
    """Return one row for each dated question of a metric to a customer still here.

    Columns (dates are days): customer_id, fold, the declared segments as text, STAGE at that time, band (the score
    group), asked, when (the score was known: the day of the answer, else of the question), next_asked (null if never),
    started, last_day (of follow-up), event (left, or bought again, on that day) and chosen (by choice).
    """
    own = segments(company)
    rows = questions(company, metric).filter(_.when.notnull())
    rows = rows.mutate(asked=ibis.coalesce(rows.asked_at, rows.when).cast("date"), when=rows.when.cast("date"))
    in_turn = ibis.window(group_by="customer_id", order_by=["asked", "when", "band"])
    rows = rows.select("customer_id", "fold", "band", "asked", "when", next_asked=rows.asked.lead().over(in_turn))
    rows = _with_outcome(company, rows, own)
    rows = rows.mutate(**{STAGE: stage(days(rows.when, rows.started))})
    rows = rows.filter(_.last_day >= _.when)
    names = ["band", "asked", "when", "next_asked", "started", "last_day", "event", "chosen"]
    return company.put_by(f"_spells_{metric}", rows.select("customer_id", "fold", *own, STAGE, *names))


def _with_outcome(company: Company, rows: ir.Table, own: Sequence[str]) -> ir.Table:
    """Add segments ``own`` and the outcome after ``when``: leaving, or without contracts the next order."""
    who = as_text(everyone(company), own)
    if company.settings.relationship == "contractual":
        who = who.select("customer_id", *own, "started", "left_on", "last_day", "chosen")
        joined = rows.inner_join(who, "customer_id")
        return joined.mutate(event=joined.left_on.notnull())
    orders = bought(company).select("day", buyer="customer_id")
    moments = rows.select("customer_id", "when").distinct()
    later = moments.inner_join(orders, [moments.customer_id == orders.buyer, moments.when < orders.day])
    following = later.group_by(["customer_id", "when"]).agg(next_order=later.day.min())
    joined = rows.left_join(following, ["customer_id", "when"]).drop("customer_id_right", "when_right")
    joined = joined.inner_join(who.select("customer_id", *own, "started"), "customer_id")
    joined = joined.filter(_.when >= _.started)  # nobody can buy again before the first purchase
    return joined.mutate(
        last_day=ibis.coalesce(joined.next_order, ibis.literal(company.as_of)),
        event=joined.next_order.notnull(),
        chosen=joined.next_order.notnull(),
    )


def watched_from(company: Company) -> date | None:
    """Return the day from which exits are recorded (``leavers_since``), None if always."""
    return company.settings.leavers_since if company.settings.relationship == "contractual" else None


def follow_up(company: Company, metric: str, horizon_days: int, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count answers by (stratum, band, duration, fold): n (last seen then), events and chosen (left by choice).

    The clock starts when the score was known. duration: days, both ends counted, cut at ``horizon_days``. events: left,
    or without contracts bought again. The stratum joins ``by`` (declared segments, STAGE or PRICE) to one text. Answers
    before ``leavers_since`` are left out, because customers who left before that date are missing.

    Example: ``follow_up(company, "nps", 365, ["plan"])``.
    """
    return _followed(company, metric, spells(company, metric), horizon_days, by)


def follow_changes(company: Company, metric: str, horizon_days: int, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count second and later answers as ``follow_up`` does, with the change from the previous answer as band.

    The stratum starts with the score group of the previous answer.
    """
    return _followed(company, metric, changed(company, metric), horizon_days, ["was", *by])


def changed(company: Company, metric: str) -> ir.Table:
    """Return the spells of second and later answers: ``band`` is BETTER, SAME or WORSE than the previous answer.

    ``was`` is the score group of that previous answer.
    """
    worst_first = [b.name for b in bands(company, metric)]
    rows = spells(company, metric).filter(_.band != NO_ANSWER)
    rows = rows.mutate(rank=ibis.cases(*((rows.band == name, i) for i, name in enumerate(worst_first))))
    in_turn = ibis.window(group_by="customer_id", order_by=["asked", "when", "rank"])
    rows = rows.mutate(was=rows.band.lag().over(in_turn), step=rows["rank"] - rows["rank"].lag().over(in_turn))
    rows = rows.filter(_.step.notnull())
    return rows.mutate(band=ibis.cases((rows.step > 0, BETTER), (rows.step < 0, WORSE), else_=SAME)).drop(
        "rank", "step"
    )


def _followed(company: Company, metric: str, rows: ir.Table, horizon_days: int, by: Sequence[str]) -> pd.DataFrame:
    """Count spells as ``follow_up`` describes."""
    if since := watched_from(company):
        rows = rows.filter(_.when >= ibis.literal(since))
    rows = _with_covariates(company, metric, rows, [k for k in by if k == PRICE])
    length = days(rows.last_day, rows.when) + 1
    rows = rows.mutate(
        stratum=_stratum(rows, by),
        duration=ibis.least(length, horizon_days).cast("int16"),
        gone=rows.event & (length <= horizon_days),
        left=rows.event & rows.chosen & (length <= horizon_days),
    )
    keys = ["stratum", "band", "duration", "fold"]
    rows = rows.mutate(fold=rows.fold.cast("int16")).group_by(keys)
    sums = {"n": _.count(), "events": _.count(where=_.gone), "chosen": _.count(where=_.left)}
    counted = rows.agg(**{k: v.cast("int32") for k, v in sums.items()}).execute()
    return counted.astype({"stratum": "category", "band": "category"})  # millions of rows with 10 million customers


# ---- episodes --------------------------------------------------------------------------------------------------------


# An episode is time at risk from after day ``start`` to day ``stop``, with ``event`` (0 or 1) at its end. Its other
# columns are stratum, band and further keys (text), and fold.


def person_time(episodes: ir.Table) -> pd.DataFrame:
    """Count the events and the days at risk of episodes by stratum, band, further keys, month and fold.

    ``month`` is that of the clock: 0 ends after DAYS_A_MONTH, 1 after twice that, cut to whole days. ``exposure`` is in
    days, and a month in part counts by its days. Only cells with exposure are there, sorted; their number does not grow
    with that of customers, because the engine counts entries and ends by cell and month.

    Example: ``person_time(in_force(company, "nps", ["plan"]))``.
    Holford 1980 (Biometrics 36:299).
    """
    keys = [c for c in episodes.columns if c not in ("start", "stop", "event")]

    def counted(sign: int, day: ir.IntegerValue, event: ir.IntegerValue) -> ir.Table:
        """Count by cell and month; floats add up whole numbers exactly, and faster than integers of 128 bits."""
        month = ibis.greatest((day / DAYS_A_MONTH).ceil().cast("int16") - 1, 0)
        sums = {"n": _.count(), "days": day.cast("float64").sum(), "events": event.cast("float64").sum()}
        return episodes.group_by(*keys, month=month).agg(**{k: sign * v for k, v in sums.items()})

    # Two small tables are united; the rows themselves twice in one count would be far more work.
    rows = counted(1, episodes.stop, episodes.event).union(counted(-1, episodes.start, episodes.event * 0)).execute()
    rows = rows.astype({k: "category" for k in keys if k != "fold"} | {"fold": "int16"})
    cell = rows.groupby(keys, observed=True).ngroup().to_numpy()
    shape = (cell.max(initial=-1) + 1, int(rows["month"].max() + 1) if len(rows) else 0)

    def by_month(column: str) -> np.ndarray:
        at = cell * shape[1] + rows["month"].to_numpy(int)
        return np.bincount(at, rows[column].to_numpy(float), shape[0] * shape[1]).reshape(shape)

    n, first = by_month("n"), np.floor(np.arange(shape[1] + 1) * DAYS_A_MONTH)
    later = n[:, ::-1].cumsum(axis=1)[:, ::-1] - n  # who is at risk throughout a month starts before and ends later
    exposure, events = by_month("days") - n * first[:-1] + later * np.diff(first), by_month("events")
    where, month = np.nonzero(exposure)
    found = rows[keys].iloc[np.unique(cell, return_index=True)[1][where]].reset_index(drop=True)
    found.insert(len(keys) - 1, "month", month.astype("int16"))
    return found.assign(events=events[where, month].astype("int32"), exposure=exposure[where, month].astype("int64"))


def _stratum(rows: ir.Table, columns: Sequence[str]) -> ir.Value:
    """Return several columns as one text, "Basic | North"; "all" for none."""
    return ibis.literal(" | ").join([rows[c] for c in columns]) if columns else ibis.literal("all")


def in_force(
    company: Company, metric: str, strata: Sequence[str] = (), delay_days: int = 0, covariates: Sequence[str] = ()
) -> ir.Table:
    """Return the episodes in which a score was in force: from its answer to the next question.

    The clock is tenure in days; without contracts, days since the answer. The days between a question and its answer
    belong to no score, nor do the ``delay_days`` after the answer. Nobody is at risk before ``leavers_since``.
    ``covariates``: "price" and "cases", as known when the score was known. event: left by choice, or bought again.

    Example: ``in_force(company, "nps", ["plan"], delay_days=30)``.
    """
    rows = spells(company, metric)
    contractual = company.settings.relationship == "contractual"
    rows = _with_covariates(company, metric, rows, covariates)
    origin = rows.started if contractual else rows.when
    from_day = days(rows.when, origin) + delay_days
    if since := watched_from(company):
        from_day = ibis.greatest(from_day, days(ibis.literal(since), origin))
    ends = days(rows.last_day, origin) + 1
    cut = ibis.coalesce(days(rows.next_asked, origin), ends)
    rows = rows.mutate(
        start=from_day,
        stop=ibis.least(ends, cut),
        event=(rows.event & rows.chosen & (ends <= cut)).cast("int64"),
        stratum=_stratum(rows, strata),
    )
    episodes = _answered(rows, covariates)
    name = f"_in_force_{metric}_{'_'.join([*strata, *covariates])}"
    return company.put_by(name, episodes) if covariates else episodes  # expensive joins, read for starts and for ends


def since_answer(company: Company, metric: str, horizon_days: int, strata: Sequence[str] = ()) -> ir.Table:
    """Return every answer followed from its day to the horizon, whatever was answered later; event as in ``in_force``.

    The half-year of tenure at the answer is part of the stratum, because both scores and churn change with tenure.
    """
    rows = spells(company, metric)
    if since := watched_from(company):
        rows = rows.filter(_.when >= ibis.literal(since))
    length = days(rows.last_day, rows.when) + 1
    half_year = (days(rows.when, rows.started) // 183).cast("string")
    rows = rows.mutate(
        start=ibis.literal(0, "int64"),
        stop=ibis.least(length, horizon_days),
        event=(rows.event & rows.chosen & (length <= horizon_days)).cast("int64"),
        stratum=ibis.coalesce(half_year, NONE) + " | " + _stratum(rows, strata),
    )
    return _answered(rows)


def landmarks(
    company: Company, metric: str, tenures: Sequence[int], horizon_days: int, strata: Sequence[str] = ()
) -> ir.Table:
    """Return the customers still here at given tenures (days), by their last score known then, followed to the horizon.

    The key "landmark" is the tenure. It is also part of the stratum, so that like is compared with like. Van
    Houwelingen 2007, Scandinavian Journal of Statistics 34:70.
    """
    parts, since = [], watched_from(company)
    for tenure in tenures:
        rows = spells(company, metric).filter(_.band != NO_ANSWER)
        rows = rows.filter((days(_.when, _.started) <= tenure) & (days(_.last_day, _.started) >= tenure))
        if since:
            rows = rows.filter(_.started + ibis.interval(days=tenure) >= ibis.literal(since))
        length = days(rows.last_day, rows.started) - tenure + 1
        latest = rows.group_by("customer_id").agg(
            **{c: rows[c].arbitrary() for c in strata},
            fold=rows.fold.arbitrary(),
            band=rows.band.argmax(rows.when),
            length=length.max(),
            chosen=(rows.event & rows.chosen).any(),
        )
        parts.append(
            latest.select(
                stratum=ibis.literal(f"{tenure} | ") + _stratum(latest, strata),
                band=latest.band,
                start=ibis.literal(0, "int64"),
                stop=ibis.least(latest.length, horizon_days),
                event=(latest.chosen & (latest.length <= horizon_days)).cast("int64"),
                fold=latest.fold,
                landmark=ibis.literal(str(tenure)),
            )
        )
    rows = ibis.union(*parts) if len(parts) > 1 else parts[0]
    return company.put_by(f"_landmarks_{metric}", rows)


def _answered(rows: ir.Table, keys: Sequence[str] = ()) -> ir.Table:
    """Keep time at risk after an answer."""
    rows = rows.filter((_.stop > _.start) & (_.band != NO_ANSWER))
    return rows.select("stratum", "band", *keys, "start", "stop", "event", "fold")


def covariates(company: Company) -> list[str]:
    """Return the covariates at hand: "price" (monthly_revenue) and "cases" (contacts); contracts only."""
    if company.settings.relationship != "contractual":
        return []
    return [PRICE] * company.has("customers", "monthly_revenue") + ["cases"] * company.has("contacts")


def _with_covariates(company: Company, metric: str, rows: ir.Table, names: Sequence[str]) -> ir.Table:
    """Add ``price`` (from the fee last paid by then) and ``cases`` (in the RECENT_DAYS before the answer)."""
    if PRICE in names:
        if priced_by_payments(company):
            paid = company.orders.filter(_.kind.isin(PAYMENTS)).mutate(paid_on=_.ordered_at.cast("date"))
            paid = paid.group_by(payer="customer_id", paid_on="paid_on").agg(paid=added(paid.revenue))
            moments = rows.select("customer_id", "when").distinct()
            before = moments.inner_join(paid, [moments.customer_id == paid.payer, moments.when >= paid.paid_on])
            fees = before.group_by(["customer_id", "when"]).agg(fee=before.paid.argmax(before.paid_on))
            rows = rows.left_join(fees, ["customer_id", "when"]).drop("customer_id_right", "when_right")
        else:
            fees = company.customers.select(payer="customer_id", fee="monthly_revenue")
            rows = rows.inner_join(fees, rows.customer_id == fees.payer)
        rows = _with_price(company, rows)
    if "cases" in names:
        opened = company.contacts.select(caller="customer_id", opened=_.opened_at.cast("date"))
        moments = spells(company, metric).select("customer_id", "when").distinct()
        before = moments.inner_join(opened, moments.customer_id == opened.caller)
        ago = days(before.when, before.opened)
        seen = before.filter((ago > 0) & (ago <= RECENT_DAYS)).group_by(["customer_id", "when"]).agg(had=_.count())
        rows = rows.left_join(seen, ["customer_id", "when"]).drop("customer_id_right", "when_right")
        rows = rows.mutate(cases=ibis.cases((rows.had >= 2, CASES[2]), (rows.had == 1, CASES[1]), else_=CASES[0]))
    return rows


def priced_by_payments(company: Company) -> bool:
    """Tell whether orders are payments, which give the fee of any day; else only today's is known."""
    return company.has("orders", "kind") and company.has("customers", "monthly_revenue")


def _with_price(company: Company, rows: ir.Table) -> ir.Table:
    """Add ``price``: the third in which ``fee`` lies among the fees of today's customers of its segment."""
    first = segments(company)[:1]
    here = as_text(here_today(company), first)
    cuts = here.group_by([here[k].name("of") for k in first] or [ibis.literal("all").name("of")]).agg(
        low=here.monthly_revenue.quantile(1 / 3), high=here.monthly_revenue.quantile(2 / 3)
    )
    same = rows[first[0]] if first else ibis.literal("all")
    rows = rows.left_join(cuts, same == cuts.of)
    fee = rows.fee
    unknown = fee.isnull() | rows.low.isnull()
    price = ibis.cases(
        (unknown, PRICES[3]), (fee <= rows.low, PRICES[0]), (fee <= rows.high, PRICES[1]), else_=PRICES[2]
    )
    return rows.mutate(price=price).drop("of", "low", "high")


# ---- plain counts ----------------------------------------------------------------------------------------------------


def asked(company: Company, metric: str) -> int:
    """Count the questions of a metric, followed or not."""
    return int(company.responses.filter(_.metric == metric).count().execute())


@lru_cache(maxsize=8)  # every section of a page asks whether there are enough
def followed_by_event(company: Company, metric: str) -> int:
    """Count the customers with an answer who later left (without contracts: bought again)."""
    rows = spells(company, metric).filter(_.event & (_.band != NO_ANSWER))
    return int(rows.customer_id.nunique().execute() or 0)


def paying(company: Company, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count the customers here today by (stratum, fold): n, and revenue (monthly_revenue summed).

    The stratum is that of ``follow_up``, with the stage of today.
    """
    rows = as_text(here_today(company), [k for k in by if k not in (STAGE, PRICE)])
    rows = rows.mutate(**{STAGE: stage(days(ibis.literal(company.as_of), rows.started))})
    rows = _with_price(company, rows.mutate(fee=rows.monthly_revenue)) if PRICE in by else rows
    rows = rows.mutate(stratum=_stratum(rows, by))
    keys = ["stratum", "fold"]
    return rows.group_by(keys).agg(n=_.count(), revenue=added(rows.monthly_revenue)).order_by(keys).execute()


def today(company: Company, metric: str, by: Sequence[str] = (), within_days: int = 365) -> pd.DataFrame:
    """Count the customers here today by (stratum, band of their last answer, fold): n. Contracts only.

    Answers older than ``within_days`` do not count. The stratum is that of ``follow_up``, with the stage of today.
    """
    now = ibis.literal(company.as_of)
    here = as_text(here_today(company), [k for k in by if k != STAGE])
    here = here.filter(_.started.isnull() | (_.started <= now))
    here = here.mutate(**{STAGE: stage(days(now, here.started))})
    rows = spells(company, metric)
    recent = days(now, rows.when) <= within_days
    rows = rows.filter((rows.band != NO_ANSWER) & ~rows.event & recent)
    last = rows.group_by("customer_id").agg(band=_.band.argmax(_.when))
    joined = here.select("customer_id", "fold", stratum=_stratum(here, by)).left_join(last, "customer_id")
    keys = ["stratum", "fold", ibis.coalesce(joined.band, NO_ANSWER).name("band")]
    return joined.group_by(keys).agg(n=_.count()).order_by(["band", "stratum", "fold"]).execute()


def last_score(company: Company, metric: str) -> pd.DataFrame:
    """Count customers by (band of their last answer, duration from sign-up, event): n.

    This is the common but wrong layout: it uses a score before it was given. It serves only as a warning.
    """
    rows = spells(company, metric).filter((_.band != NO_ANSWER) & _.started.notnull())
    length = days(rows.last_day, rows.started) + 1
    rows = rows.group_by("customer_id").agg(band=_.band.argmax(_.when), duration=length.max(), event=_.event.any())
    keys = ["band", "duration", "event"]
    return rows.mutate(event=_.event.cast("int64")).group_by(keys).agg(n=_.count()).order_by(keys).execute()
