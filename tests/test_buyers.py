"""Repeat buying: counts, published CDNOW forecasts, the known truth of the demo shop, and what is not answered."""

from __future__ import annotations

import importlib.metadata
import json
from datetime import date, timedelta
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from demo_truth import expected_further

from cxlib import demo
from cxlib.churn import renewals
from cxlib.counts import purchases
from cxlib.demo.shop import Shop
from cxlib.errors import InputError, Unanswered
from cxlib.intake.company import Company
from cxlib.stats.finance import discount_factors, per_period_rate
from cxlib.stats.repeat_buying import BetaGeoNBD, GammaGamma
from cxlib.value import buyers, purchase_models

CUT = "1997-09-30"
BASICS = {"relationship": "noncontractual", "inactive_after_days": 180, "currency": "USD", "draws": 200}
MONEY = {"value_is": "revenue", "gross_margin": 1.0, "discount_rate": 0.15, "discount_convention": "effective"}
MONEY |= {"horizon_months": 9, "first_flow": "end"}
QUESTIONS = [buyers.models, buyers.tracking, buyers.by_frequency, buyers.lift, buyers.alive, buyers.spend, buyers.base]


def company_of(orders: pd.DataFrame, as_of: str, **settings: object) -> Company:
    orders = orders.assign(
        order_id=[f"O{i}" for i in range(len(orders))],
        ordered_at=pd.to_datetime(orders["ordered_at"], format="ISO8601"),
    )
    people = pd.DataFrame({"customer_id": orders["customer_id"].unique()})
    return Company.from_frames(
        {"name": "T", "as_of": as_of, **BASICS, **settings}, {"customers": people, "orders": orders}
    )


@pytest.fixture(scope="module")
def cdnow():
    """The CDNOW 1/10 sample as an order log and nothing else, 1 January 1997 to 30 June 1998."""
    (path,) = [f.locate() for f in importlib.metadata.files("lifetimes") if f.name == "CDNOW_sample.txt"]
    log = pd.read_csv(path, sep=r"\s+", header=None, names=["master", "id", "day", "cds", "revenue"])
    orders = pd.DataFrame({"customer_id": log["id"].astype(str), "ordered_at": log["day"].astype(str)})
    # Eight of 6,919 purchases are of 0.00. In the papers they count as purchases: here they are of a cent.
    return company_of(orders.assign(revenue=log["revenue"].clip(lower=0.01)), "1998-06-30", money=MONEY)


@pytest.fixture(scope="module")
def shop():
    return Company.from_frames(demo.settings("demo-shop", draws=200), demo.shop(11, 1000))


def figures(finding):
    assert finding.answered, finding.headline
    json.dumps([f.row() for f in finding.figures])
    return {f.name: f.estimate for f in finding.figures}


def alone(monkeypatch, **models):
    """Allow only these models, and forget what was fitted before."""
    monkeypatch.setattr(purchase_models, "MODELS", models)
    for fitted in (purchase_models._by_calendar, purchase_models.today, purchase_models.trial):
        fitted.cache_clear()


# ---- the counts --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few():
    rows = [
        ("a", "2024-01-01", 10), ("a", "2024-01-15", 20), ("a", "2024-01-15 18:00", 30), ("a", "2024-03-01", 40),
        ("b", "2024-01-08", 15), ("b", "2024-01-10", -15), ("b", "2024-02-20", -1),
        ("c", "2024-02-10", 5), ("d", "2024-01-02", -3),
    ]  # fmt: skip
    return company_of(pd.DataFrame(rows, columns=["customer_id", "ordered_at", "revenue"]), "2024-03-11")


def test_purchases_of_one_day_are_one_and_refunds_are_none(few):
    found = purchases.purchases(few).drop(columns="fold").sort_values("age", ascending=False, ignore_index=True)
    assert found["frequency"].tolist() == found["kept"].tolist() == [2, 0]  # b kept nothing, d only sent back
    assert found["recency"].tolist() == [60 / 7, 0]
    assert found["age"].tolist() == [10, 30 / 7]
    assert found["spend"].tolist()[0] == 45  # 50 on 15 January, 40 on 1 March
    assert found["spend"].isna().tolist() == [False, True]
    assert purchases.repeat_buyers(few) == (1, 1)


def test_where_very_many_came_back_histories_are_in_whole_weeks(shop, monkeypatch):
    exact = purchases.purchases(shop)
    monkeypatch.setattr(purchases, "MANY", 400)
    weeks = purchases.purchases(shop, by=shop.settings.segments)
    assert weeks["n"].sum() == exact["n"].sum()
    assert weeks.groupby("frequency")["n"].sum().equals(exact.groupby("frequency")["n"].sum())
    for column in ("recency", "age"):
        assert (weeks[column] % 1 == 0).all()
        assert weeks[column] @ weeks["n"] == pytest.approx(exact[column] @ exact["n"], rel=0.02)
    assert ((weeks["recency"] > 0) == (weeks["frequency"] > 0)).all()
    assert (weeks["recency"] <= weeks["age"]).all()
    model, rounded = (BetaGeoNBD().fit(*(f[c] for c in purchases.PAST[:3]), weights=f["n"]) for f in (exact, weeks))
    ahead = [m.predict(26, *(f[c] for c in purchases.PAST[:3])) @ f["n"] for m, f in ((model, exact), (rounded, weeks))]
    assert ahead[1] == pytest.approx(ahead[0], rel=0.01)


def test_what_is_held_out_belongs_to_those_known_by_the_cut(few):
    held = purchases.held_out(few, date(2024, 1, 31))
    assert held[["n", "purchases", "revenue"]].sum().tolist() == [1, 1, 40]
    past = purchases.purchases(few, date(2024, 1, 31))
    pd.testing.assert_frame_equal(held.drop(columns=["purchases", "revenue"]), past)
    daily = purchases.by_day(few, date(2024, 1, 31))
    assert daily["day"].dt.strftime("%d %b").tolist() == ["01 Jan", "15 Jan", "01 Mar"]
    assert daily[["first", "repeats"]].to_numpy().tolist() == [[1, 0], [0, 1], [0, 1]]


def test_counts_by_segment_and_by_answer_are_of_the_same_buyers(shop):
    cut = date(2025, 12, 31)
    plain, held = purchases.purchases(shop), purchases.held_out(shop, cut)
    by = purchases.purchases(shop, by=shop.settings.segments)
    assert by["n"].sum() == plain["n"].sum() == 1000
    assert set(by["country"]) == {"Germany", "France", "Netherlands", "Austria"}
    bands = purchases.held_out(shop, cut, "nps")
    assert set(bands["band"]) == {"detractor", "passive", "promoter", "no answer"}
    both = bands.groupby(["frequency", "recency", "age", "fold"])[["n", "purchases"]].sum()
    assert both.equals(held.groupby(["frequency", "recency", "age", "fold"])[["n", "purchases"]].sum())


# ---- CDNOW -------------------------------------------------------------------------------------------------------


def test_cdnow_models_are_those_published(cdnow):
    """Fader, Hardie & Lee (2005), table 2, and the purchases of the sample after week 39."""
    found = buyers.models(cdnow, CUT)
    shown = found.table.set_index("model")
    assert shown["parameters"]["BG/NBD"].startswith("r 0.2426 (se 0.013), alpha 4.41")
    assert shown["parameters"]["Pareto/NBD"].startswith("r 0.553")
    assert shown["log_likelihood"].round(2).to_dict() | {"MBG/NBD": 0} == {
        "BG/NBD": -9582.43, "MBG/NBD": 0, "Pareto/NBD": -9594.98,
    }  # fmt: skip
    assert set(shown["actual"]) == {1882}
    assert set(shown["n"]) == {2357}
    assert shown["error"].to_numpy() == pytest.approx(shown["value"] / 1882 - 1)
    assert ((shown["low"] < shown["value"]) & (shown["value"] < shown["high"])).all()
    facts, error = found.facts, figures(found)["forecast-error"]
    assert (found.known, facts["chosen"]) == ("forecast", "MBG/NBD")  # the best log score on what came
    assert (facts["expected"], facts["actual"]) == (shown.loc["MBG/NBD", "value"], 1882)
    assert (facts["off"], facts["high"]) == (abs(error.value), error.value > 0)
    assert facts["apart"] == pytest.approx(shown["value"].max() / shown["value"].min() - 1)
    assert facts["active"] == [shown["active"].min(), shown["active"].max()]
    assert np.round(facts["active"], 2).tolist() == [0.42, 0.79]
    assert error.value == shown.loc["MBG/NBD", "error"]


def test_cdnow_tracking_is_4_percent_low_by_bg_nbd_and_2_by_pareto_nbd(cdnow):
    """Fader, Hardie & Lee (2005), section 4: cumulative repeat purchases by week 78."""
    found = buyers.tracking(cdnow, CUT)
    last = found.table[found.table["week"] == "1998-06-30"].set_index("group")["value"]
    at_cut = found.table[found.table["week"] == CUT].set_index("group")["value"]
    assert (last["bought"], at_cut["bought"]) == (4339, 2457)
    assert round(100 * (last["BG/NBD"] / last["bought"] - 1)) == -4
    assert round(100 * (last["Pareto/NBD"] / last["bought"] - 1)) == -2
    assert (found.table.groupby("group")["value"].diff().dropna() >= 0).all()
    assert found.table["n"].min() >= 30
    assert set(found.table["part"]) == {"fitted", "held out"}
    assert figures(found)["tracking-error"].value == pytest.approx(last["MBG/NBD"] / last["bought"] - 1)
    facts = found.facts
    assert (facts["made"], facts["made_by_cut"]) == (4339, 2457)
    assert (facts["expected"], facts["expected_by_cut"]) == (last["MBG/NBD"], at_cut["MBG/NBD"])
    weekly = found.table[found.table["part"] == "held out"].pivot(index="week", columns="group", values="value")
    assert facts["widest"] == pytest.approx((weekly["MBG/NBD"] / weekly["bought"] - 1).abs().max())


def test_cdnow_groups_add_up_to_the_whole(cdnow):
    models = buyers.models(cdnow, CUT).table.set_index("model")["value"]
    of_levels, of_tenths = buyers.by_frequency(cdnow, CUT), buyers.lift(cdnow, CUT)
    levels, tenths = of_levels.table, of_tenths.table
    for shown in (levels, tenths):
        sums = (shown["value"] * shown["n"]).groupby(shown["group"]).sum()
        assert sums["bought"] == pytest.approx(1882)
        assert sums["MBG/NBD"] == pytest.approx(models["MBG/NBD"])
        assert shown["n"].min() >= 30
    before = levels[levels["group"] == "bought"].set_index("before")
    assert before.loc["0", "n"] == 1411
    assert before.index[-1] == "6 or more"  # seven or more are too few for a group of their own
    facts, expected = of_levels.facts, levels[levels["group"] == "MBG/NBD"].set_index("before")["value"]
    assert facts["inside"] == expected.between(before["low"], before["high"]).sum()
    assert facts["groups"] == len(before) == 7
    assert (facts["expected"], facts["bought"].value) == (expected[facts["far"]], before["value"][facts["far"]])
    each = tenths[tenths["group"] == "MBG/NBD"]
    assert each["tenth"].tolist() == list(range(1, 11))
    assert (each["value"].diff().dropna() < 0).all()
    assert each["n"].between(200, 260).all()
    made = tenths[tenths["group"] == "bought"].set_index("tenth")
    top, share = made.loc[1, "value"], figures(of_tenths)["top-tenth"].value
    assert share == pytest.approx(top * made.loc[1, "n"] / 1882)
    assert figures(of_tenths)["lift"].value == pytest.approx(top / (1882 / 2357))


def test_cdnow_probabilities_of_being_active_depend_on_the_model(cdnow):
    found = buyers.alive(cdnow)
    shown = found.table.set_index(["history", "model"])["value"]
    everybody = shown["all buyers of today"]
    assert (found.facts["least_active"], found.facts["most_active"]) == (everybody.min(), everybody.max())
    assert found.facts["everyone_once_active"]
    assert [f.estimate.value for f in found.figures] == everybody.tolist()
    once = shown[shown.index.get_level_values("history").str.startswith("bought once")].unstack()
    assert (once["BG/NBD"] == 1).all()
    assert (once[["MBG/NBD", "Pareto/NBD"]] < 0.5).all().all()
    longer = shown["9 purchases in 71 weeks, the last 67 weeks ago"]
    assert (longer < 0.001).all()
    assert shown.between(0, 1).all()


def test_cdnow_spend_is_only_weakly_linked_to_frequency(cdnow):
    found = buyers.spend(cdnow, CUT)
    assert figures(found)["spend-frequency"].value == pytest.approx(0.07, abs=0.005)
    assert abs(figures(found)["spend-error"].value) < 0.05
    assert found.table["n"].sum() == found.facts["buyers"] == 1139
    facts, ends = found.facts, found.table["value"].iloc[[0, -1]].tolist()
    assert (found.known, facts["linked"], facts["strong"]) == ("observed", True, False)
    assert [facts["first_spend"], facts["last_spend"]] == ends
    assert facts["expected"] / facts["later"].value - 1 == pytest.approx(facts["off"].value)


def test_cdnow_values_of_each_buyer_add_up_to_the_base(cdnow):
    base, each = buyers.base(cdnow, CUT), buyers.each(cdnow, CUT)
    assert each.columns.tolist() == ["x", "recency", "age", "fold", "n", "value", "active", "last_days"]
    assert each["n"].sum() == 2357
    assert (each["n"] * each["value"]).sum() == pytest.approx(figures(base)["base-value"].value)
    assert each["active"].between(0, 1).all()
    assert (each["last_days"] == (7 * (each["age"] - each["recency"])).round()).all()
    shown = base.table.set_index(["model", "what"])["value"].unstack()
    assert (shown["value, discounted"] < shown["value, undiscounted"]).all()
    assert (shown["value per buyer, discounted"] * 2357).to_numpy() == pytest.approx(shown["value, discounted"])
    facts, what = base.facts, ["value per buyer, discounted", "value, undiscounted", "purchases"]
    assert (facts["chosen"], facts["buyers"], sum(facts["weights"].values())) == ("MBG/NBD", 2357, 1)
    mean = sum(weight * shown.loc[model, what] for model, weight in facts["weights"].items())
    assert [facts["each"], facts["undiscounted"], facts["purchases"].value] == pytest.approx(mean.tolist())
    assert facts["by_model"] == [shown["value, discounted"].min(), shown["value, discounted"].max()]
    assert facts["off"] == buyers.models(cdnow, CUT).facts["off"]
    model, said = facts["model"], figures(base)["base-value"]
    assert said.low < model.low < model.value == said.value < model.high < said.high
    assert base.known == "forecast"


# ---- the shop whose truth is known -------------------------------------------------------------------------------


def test_what_the_shop_will_bring_lies_within_the_interval(shop):
    truth, rows = Shop(), purchases.purchases(shop)
    x, recency, age, n = (rows[c].to_numpy(float) for c in ("frequency", "recency", "age", "n"))
    weeks = np.arange(1, 25) * 365.25 / 12 / 7
    by_month = np.diff([n * 0, *(n * expected_further(truth, w, x, recency, age) for w in weeks)], axis=0)
    params = np.array([truth.p, truth.q, truth.v])
    each = GammaGamma().predict(x, rows["spend"].fillna(0), params)
    factors = discount_factors(per_period_rate(0.10, 12, "effective"), 24, "now")
    found = figures(buyers.base(shop))
    for name, true in (("base-purchases", by_month.sum()), ("base-value", 0.4 * factors @ by_month @ each)):
        e = found[name]
        assert e.low < true < e.high
        assert (e.high - e.low) / true < 0.45
    assert buyers.base(shop).facts["chosen"] == "BG/NBD"
    held = buyers.by_frequency(shop).table
    shown = {g: held[held["group"] == g].set_index("before") for g in ("bought", "BG/NBD")}
    inside = shown["BG/NBD"]["value"].between(shown["bought"]["low"], shown["bought"]["high"])
    assert inside.mean() >= 0.8


def test_totals_move_with_the_parameters_as_if_worked_out_anew(shop):
    fits = purchase_models.today(shop)
    for name, model in fits.models.items():
        n, theta = fits.cells["n"].to_numpy(float), np.log(model.params.to_numpy())

        def total(p, model=model, n=n):
            return np.array([model.predict(52, *fits.past, p) @ n])

        followed = fits.spread(name, total)[:, 0]
        assert followed[0] == pytest.approx(total(model.params.to_numpy())[0])
        small = np.flatnonzero(np.abs(fits.moves[name]).max(axis=1) < 0.3)[:8]
        anew = np.array([total(np.exp(theta + fits.moves[name][i]))[0] for i in small])
        assert len(small) == 8
        assert np.abs(followed[1 + small] / anew - 1).max() < 0.25 * np.std(followed) / followed[0]


def test_moves_of_the_parameters_are_those_of_a_fit_to_other_weights(shop):
    fits, model = purchase_models.today(shop), BetaGeoNBD()
    weights = np.ones((2, 256))
    weights[1] += 0.1 * np.random.default_rng(3).normal(size=256)
    moved = purchase_models.moves(fits.models["BG/NBD"], weights, fits.rows, purchase_models.PAST)[0]
    rows = fits.rows
    model.fit(*(rows[c] for c in purchase_models.PAST), weights=rows["n"] * weights[1][rows["fold"]])
    assert np.log(model.params / fits.models["BG/NBD"].params).to_numpy() == pytest.approx(moved, abs=0.005)


# ---- what is free, sent back or mistyped -------------------------------------------------------------------------


def test_a_refund_is_taken_off_the_latest_purchase_and_the_rest_off_the_one_before():
    rows = [
        ("a", "2024-01-01", 10), ("a", "2024-01-15", 20), ("a", "2024-01-15 18:00", 30), ("a", "2024-03-01", 40),
        ("a", "2024-03-05", -50), ("b", "2024-01-10", -3), ("b", "2024-01-20", 9), ("b", "2024-01-21", 0),
        ("c", "2024-01-03", 84.66), ("c", "2024-01-04", 12.1), ("c", "2024-01-09", -84.66), ("c", "2024-01-10", -12.1),
        ("d", "2024-01-02", 0), ("d", "2024-02-02", 0),
    ]  # fmt: skip
    company = company_of(pd.DataFrame(rows, columns=["customer_id", "ordered_at", "revenue"]), "2024-03-11")
    days = purchases.bought(company).order_by(["customer_id", "day"]).execute()
    assert days["customer_id"].tolist() == ["a", "a", "a", "b", "c", "c"]
    assert days["revenue"].tolist() == [10, 50, 40, 9, 84.66, 12.1]
    assert days["net"].tolist() == [10, 40, 0, 9, 0, 0]  # nothing is left of c, to the last fraction of a cent
    known = purchases.bought(company, date(2024, 3, 4)).execute()
    assert known.loc[known["customer_id"] == "a", "net"].sum() == 100
    counted = purchases.purchases(company).set_index("frequency")
    assert counted[["kept", "spend"]].fillna(-1).to_dict("index") == {
        0: {"kept": 0, "spend": -1},
        2: {"kept": 1, "spend": 40},
    }
    found = purchases.money(company).drop(columns=["fold", "largest"]).sum().round(9).to_dict()
    assert found == {
        "paid": 205.76, "refunded": 149.76, "unlinked": 3, "free": 3, "buyers": 3, "never": 1,
        "returned": 1,
    }  # fmt: skip
    sums = purchases.first_and_later(company)[["first", "first_revenue", "later", "later_revenue"]].sum()
    assert sums.tolist() == [2, 19, 2, 40]


@pytest.fixture(scope="module")
def paid():
    """The orders of a shop of 800 buyers, and what they are expected to bring."""
    orders = demo.shop(12, 800)["orders"][["customer_id", "ordered_at", "revenue"]]
    return orders, worth(orders)


def worth(orders):
    with mock.patch.object(purchase_models, "MODELS", {"BG/NBD": BetaGeoNBD}):
        return buyers.base(company_of(orders, "2026-06-30", money=MONEY, draws=100))


def test_who_only_ever_paid_nothing_changes_no_forecast(paid):
    orders, before = paid
    staff = [f"F{i}" for i in range(160)]
    free = pd.DataFrame({"customer_id": staff * 10, "ordered_at": orders["ordered_at"].sample(1600, random_state=1)})
    found = worth(pd.concat([orders, free.assign(revenue=0.0)]))
    assert figures(found)["base-value"].value == pytest.approx(figures(before)["base-value"].value)
    assert (found.facts["buyers"], found.facts["free"], found.facts["never"]) == (800, 1600, 160)
    assert any("160 customers had free orders alone" in c for c in found.caveats)


def test_orders_that_are_free_by_chance_bring_as_much_less(paid):
    orders, before = paid
    free = np.random.default_rng(4).random(len(orders)) < 0.4
    ratio = worth(orders.assign(revenue=orders["revenue"].mask(free, 0.0))).facts["worth"].value
    assert ratio / before.facts["worth"].value == pytest.approx(0.6, abs=0.06)


@pytest.mark.parametrize(("chance", "part"), [(0.3, 1.0), (1.0, 0.4), (0.6, 0.5)])
def test_refunds_are_taken_off_what_will_be_bought(paid, chance, part):
    orders, before = paid
    back = orders[np.random.default_rng(5).random(len(orders)) < chance]
    back = back.assign(revenue=-(part * back["revenue"]).round(2), ordered_at=back["ordered_at"] + pd.Timedelta(days=4))
    found = worth(pd.concat([orders, back[back["ordered_at"] < "2026-06-30"]]))
    share, e = found.facts["refunded_share"], found.facts["worth"]
    assert share.low < chance * part < share.high or part == 0.4  # where all send back the same, no interval
    assert e.value / before.facts["worth"].value == pytest.approx(1 - chance * part, abs=0.04)
    assert e.low < (1 - chance * part) * before.facts["worth"].value < e.high
    assert any("The forecast is net of refunds" in c for c in found.caveats)


def test_who_sends_everything_back_is_worth_nothing_and_others_no_less(paid):
    orders, _ = paid
    some = orders["customer_id"].isin(orders["customer_id"].drop_duplicates().sample(160, random_state=2))
    back = orders[some].assign(revenue=-orders["revenue"])
    found, others = worth(pd.concat([orders, back])), worth(orders[~some])
    assert found.facts["worth"].value == pytest.approx(others.facts["worth"].value)
    assert (found.facts["returned"], found.facts["buyers"]) == (160, 640)


def test_refunds_of_purchases_that_are_not_on_record_are_taken_off_in_proportion(paid):
    orders, before = paid
    first = orders["ordered_at"].min()
    older = pd.DataFrame({"customer_id": orders["customer_id"].unique(), "ordered_at": first, "revenue": -5.0})
    found = worth(pd.concat([orders, older.iloc[:400]]))
    share = found.facts["unlinked"] / orders["revenue"].sum()
    assert found.facts["unlinked"] == pytest.approx(2000, abs=10)
    assert found.facts["worth"].value / before.facts["worth"].value == pytest.approx(1 - share, abs=1e-4)


def test_one_order_that_carries_the_forecast_is_named(paid):
    orders, before = paid
    assert not before.facts["uneven"]
    last = orders.index[orders["customer_id"] == orders["customer_id"].mode()[0]][-1]
    typo = orders.assign(revenue=orders["revenue"].mask(orders.index == last, 2000 * orders["revenue"]))
    found = worth(typo)
    assert found.facts["largest_share"] == pytest.approx(typo["revenue"].max() / typo["revenue"].sum())
    assert found.facts["top"] > 2 * before.facts["top"]
    assert any("Check them for typing errors" in c for c in found.caveats)


def test_where_nobody_is_seen_to_stop_no_model_is_a_headline():
    rng, rows = np.random.default_rng(0), []
    for i, rate in enumerate(rng.gamma(2, 1 / 140, 300)):
        when = rng.uniform(0, 180) + np.r_[0, rng.exponential(1 / rate, 60).cumsum()]
        rows += [(f"C{i}", pd.Timestamp("2024-01-01") + pd.Timedelta(days=int(t)), 20.0) for t in when[when < 540]]
    company = company_of(
        pd.DataFrame(rows, columns=["customer_id", "ordered_at", "revenue"]), "2025-06-30", money=MONEY
    )
    for question in (buyers.models, buyers.alive, buyers.base):
        found = question(company)
        assert not found.answered
        assert "the data cannot tell whether buyers leave" in found.headline


# ---- choosing and leaving out ------------------------------------------------------------------------------------


def test_each_draw_takes_the_model_that_told_later_purchases_best_in_it(cdnow):
    picks, trial = purchase_models.picks(cdnow, CUT, 100), purchase_models.trial(cdnow, CUT)
    scores = pd.DataFrame(trial.scores)
    assert trial.chosen == scores.loc[0].idxmax() == next(iter(picks.weights))
    assert (picks.drawn == scores.loc[1:].idxmax(axis=1)).all()
    # The score is the log density of what each bought after the cut, given what they had bought before.
    now = purchases.purchases(cdnow)
    known = now[now["age"] >= trial.weeks]
    model = trial.fits.models["BG/NBD"]
    before = trial.fits.rows["n"] @ model.log_density(*(trial.fits.rows[c] for c in purchase_models.PAST))
    after = known["n"] @ model.log_density(*(known[c] for c in purchase_models.PAST))
    assert known["n"].sum() == 2357
    assert scores.loc[0, "BG/NBD"] == pytest.approx(after - before)


def test_the_clock_of_a_season_runs_a_year_in_a_year_and_keeps_the_order_of_purchases():
    season = 0.3 * np.sin(2 * np.pi * np.arange(12) / 12)
    fits = purchase_models.Fits(pd.DataFrame(), pd.DataFrame(), np.zeros(0), {}, {}, (), season=season)
    year, month = 365.25 / 7, 365.25 / 12 / 7
    assert fits.clock(0) == 0
    assert [fits.clock(year), fits.clock(-2 * year)] == pytest.approx([year, -2 * year])
    rates = np.diff(fits.clock(np.arange(13) * month)) / month
    assert np.log(rates / rates.mean()) - np.log(rates / rates.mean()).mean() == pytest.approx(season, abs=1e-9)
    rows = pd.DataFrame({"frequency": [0, 2], "recency": [0.0, 30.0], "age": [60.0, 31.0]})
    moved = purchase_models.in_season(fits, rows)
    assert moved["recency"].iloc[0] == 0
    assert 0 < moved["recency"].iloc[1] < moved["age"].iloc[1]


class NeverFitted(BetaGeoNBD):
    def fit(self, *columns: object, **weights: object) -> NeverFitted:
        self.message = "No maximum was found."
        return self


def test_a_model_that_cannot_be_fitted_is_named_and_the_others_go_on(monkeypatch, shop):
    alone(monkeypatch, **{"BG/NBD": BetaGeoNBD, "Stubborn": NeverFitted})
    for question in (buyers.models, buyers.by_frequency, buyers.alive, buyers.base):
        found = question(shop)
        assert found.facts["failed"] == ["Stubborn"]
        assert any("Stubborn" in c for c in found.caveats)
    assert buyers.models(shop).table["model"].tolist() == ["BG/NBD"]
    alone(monkeypatch, Stubborn=NeverFitted)
    for question in (buyers.models, buyers.alive, buyers.base):
        found = question(shop)
        assert not found.answered
        assert "Stubborn" in found.headline
    with pytest.raises(Unanswered, match="no-buying-model"):
        buyers.each(shop)


def test_a_parameter_that_the_data_hardly_determine_is_named():
    model = BetaGeoNBD()
    model.params = pd.Series({"r": 0.2, "alpha": 4.0, "a": 0.8, "b": 2.5})
    model.standard_errors = pd.Series({"r": 0.1, "alpha": 4.1, "a": 0.7, "b": 9.0})
    assert purchase_models.loose(model) == ["alpha", "b"]


def test_spend_that_depends_on_frequency_is_reported(monkeypatch):
    alone(monkeypatch, **{"BG/NBD": BetaGeoNBD})
    orders = demo.shop(13, 500)["orders"]
    often = orders.groupby("customer_id")["order_id"].transform("count")
    orders = orders[["customer_id", "ordered_at"]].assign(revenue=(orders["revenue"] * often).round(2))
    found = buyers.spend(company_of(orders, "2026-06-30"))
    assert figures(found)["spend-frequency"].low > 0
    assert figures(found)["spend-frequency"].value > buyers.FAILS
    assert (found.facts["linked"], found.facts["strong"], found.facts["more"]) == (True, True, True)
    assert any("Forecast each segment separately" in c for c in found.caveats)


# ---- what is not answered ----------------------------------------------------------------------------------------


def test_contracts_no_money_and_too_few_buyers_are_not_answered(few):
    settings = {"name": "C", "as_of": "2024-12-31", "relationship": "contractual", "currency": "EUR"}
    contracts = Company.from_frames(settings, {"customers": pd.DataFrame({"customer_id": ["a", "b"]})})
    for question in QUESTIONS:
        assert "with contracts, orders are payments" in question(contracts).headline
        if question is not buyers.base:
            assert "only 1 customer bought on several days" in question(few, minimum_repeat_buyers=1).headline
    assert "no money block" in buyers.base(few).headline
    with pytest.raises(Unanswered, match="few-repeat-buyers") as raised:
        purchase_models.require(few, 1)
    assert raised.value.facts == {"on_days": 1, "several": 1, "customers": 4, "needed": 30}
    with pytest.raises(Unanswered, match="payments-under-contract"):
        buyers.each(contracts)
    with pytest.raises(Unanswered, match="no-money"):
        buyers.each(few)


def test_a_shop_that_only_gives_away_or_takes_back_is_not_answered():
    days = pd.date_range("2024-01-01", periods=300).strftime("%Y-%m-%d")
    free = pd.DataFrame({"customer_id": [f"C{i % 60}" for i in range(300)], "ordered_at": days, "revenue": 0.0})
    back = pd.concat([free.assign(revenue=9.0), free.assign(revenue=-9.0, ordered_at="2024-12-01")])
    for orders in (free, back):
        company = company_of(orders, "2024-12-31", money=MONEY)
        for question in QUESTIONS:
            assert "only 0 customers bought on several days" in question(company, minimum_repeat_buyers=30).headline
        assert renewals.repurchase(company).answered == (orders is back)


def test_a_window_too_short_to_fit_is_refused(cdnow):
    with pytest.raises(Unanswered, match="few-repeat-buyers-by-cut") as raised:
        purchase_models.trial(cdnow, "1997-01-20")
    assert raised.value.facts == {"again": 33, "cut": date(1997, 1, 20), "needed": 100}
    assert "only 33 customers" in buyers.models(cdnow, "1997-01-20").headline
    base = buyers.base(cdnow, "1997-01-20")  # goes on without the check
    assert (base.answered, base.facts["checked"], base.facts["chosen"]) == (True, False, "MBG/NBD")
    with pytest.raises(InputError, match="not a day between the first order and the as-of date"):
        buyers.models(cdnow, "1998-06-30")
    with pytest.raises(InputError, match="such as 1997-12-31"):
        buyers.models(cdnow, "yesterday")


def test_too_few_later_purchases_judge_no_forecast(cdnow):
    with pytest.raises(Unanswered, match="few-later-purchases") as raised:
        purchase_models.trial(cdnow, "1998-06-27")
    assert 0 < raised.value.facts["actual"] < 100


def test_a_window_shorter_than_two_gaps_is_refused():
    start, rows = date(2024, 1, 1), []
    for i in range(120):
        first = start + timedelta(days=i % 30)
        rows += [
            (f"C{i}", first, 10.0 + i),
            (f"C{i}", first + timedelta(days=70), 12.0),
            (f"C{i}", first + timedelta(days=150), 9.0),
        ]
    company = company_of(pd.DataFrame(rows, columns=["customer_id", "ordered_at", "revenue"]), "2024-07-31")
    with pytest.raises(Unanswered, match="short-history") as raised:
        purchase_models.trial(company, "2024-04-20")
    assert raised.value.facts == {"window": 110, "cut": date(2024, 4, 20), "median": 70}
