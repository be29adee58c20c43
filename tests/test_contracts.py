"""Lifetimes under contract: counts made by hand, worlds with known truth, values recomputed customer by customer."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy import special

from cxlib import demo
from cxlib.counts import contract_terms
from cxlib.counts.people import DAYS_A_MONTH, STAGE
from cxlib.demo import paths
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.stats.draws import group_weights, with_plain
from cxlib.stats.renewal import BetaDiscreteWeibull, ShiftedBetaGeometric
from cxlib.stats.renewal_draws import ConstantRate, RenewalFit, refits
from cxlib.value import contracts, forecast, renewal_models

AS_OF = pd.Timestamp("2025-12-31")
MONEY = {
    "value_is": "margin", "gross_margin": 0.5, "discount_rate": 0.1, "discount_convention": "effective",
    "horizon_months": 24, "first_flow": "now",
}  # fmt: skip
SETTINGS = {
    "name": "T", "as_of": "2025-12-31", "relationship": "contractual", "currency": "EUR", "money": MONEY, "draws": 60,
}  # fmt: skip
YEAR = 12 * DAYS_A_MONTH


def made(settings=SETTINGS, **columns):
    n = len(columns["joined_on"])
    return Company.from_frames(
        settings, {"customers": pd.DataFrame({"customer_id": [f"c{i}" for i in range(n)]} | columns)}
    )


def days(*given):
    return pd.to_datetime(pd.Series(given))


def world(customers, chance, seed=5, fee=10.0, settings=SETTINGS, term=1, **columns):
    """Make a company whose customers leave at the end of a term, each with a chance of their own."""
    luck = np.random.default_rng(seed)
    joined = pd.Timestamp("2021-01-01") + pd.to_timedelta(luck.integers(0, 1795, customers), unit="D")
    stay = np.rint(luck.geometric(chance(luck, customers)) * term * DAYS_A_MONTH)
    left = pd.Series(joined + pd.to_timedelta(np.minimum(stay, 9_999) - 1, unit="D"))
    return made(
        settings,
        joined_on=joined,
        left_on=left.where(left <= AS_OF),
        monthly_revenue=np.full(customers, fee),
        **columns,
    )


def spread(luck, n):
    return luck.beta(0.8, 14, n)


def figure(finding, name):
    return next(f.estimate for f in finding.figures if f.name == name)


@pytest.fixture(scope="module")
def company():
    return Company.from_frames(demo.settings("demo", draws=60), {"customers": demo.subscription(3, 3000)["customers"]})


@pytest.fixture(scope="module")
def unanswerable():
    snapshot = Company.from_frames(
        SETTINGS | {"sources": {"customers": {"tenure_unit": "months"}}},
        {"customers": pd.DataFrame({"customer_id": ["a", "b"], "tenure": [3, 4], "left": ["yes", "no"]})},
    )
    shop = Company.from_frames(
        SETTINGS | {"relationship": "noncontractual", "inactive_after_days": 90},
        {"customers": pd.DataFrame({"customer_id": ["a", "b"]})},
    )
    nobody_left = made(joined_on=days(*["2024-01-05"] * 40), left_on=days(*[None] * 40), monthly_revenue=[1.0] * 40)
    few = made(joined_on=days("2024-01-05"), left_on=days("2024-05-05"), monthly_revenue=[1.0])
    return {
        "without contracts": shop,
        "who left, but not when": snapshot,
        "nobody has left": nobody_left,
        "fewer than 30 customers": few,
    }


@pytest.fixture(scope="module")
def few_customers():
    return demo.subscription(3, 250)["customers"]


@pytest.fixture(scope="module")
def various():
    return world(8000, spread)


@pytest.fixture(scope="module")
def alike():
    return world(8000, lambda luck, n: np.full(n, 0.04))


# ---- counts ----------------------------------------------------------------------------------------------------------


def test_survivors_of_yearly_terms_by_hand():
    company = made(
        joined_on=days(*["2022-02-01"] * 5, "2023-05-01", "2025-11-01", None),
        # on the anniversary, the day after it (both did not renew), four days after (did), in the third year, never
        left_on=days("2023-02-01", "2023-02-02", "2023-02-05", "2024-09-01", None, None, None, None),
    )
    found = contract_terms.survivors(company, YEAR)
    kept = {str(c.date()): found.kept[found.rows["cohort"] == c].sum(axis=0) for c in found.rows["cohort"].unique()}
    assert kept["2022-01-01"].tolist() == [5, 3, 2, 1]
    # who joined at the end of June 2023 has been followed for two years and a half
    assert kept["2023-04-01"].tolist() == pytest.approx([1, 1, 1, np.nan], nan_ok=True)
    assert (found.early, found.young) == (0, 1)
    later = made(
        SETTINGS | {"leavers_since": "2022-01-02"},
        joined_on=days("2022-02-01", "2023-05-01"),
        left_on=days("2023-02-01", None),
    )
    early = contract_terms.survivors(later, YEAR)
    assert (early.early, len(early.rows)) == (1, 1)
    before = contract_terms.survivors(
        company, YEAR, until=date(2024, 6, 30)
    )  # the last leaver is still here, and 2023 is young
    assert np.nansum(before.kept, axis=0).tolist() == [5, 3, 2]


def test_survivors_are_those_counted_row_by_row_and_add_up_to_the_people(company):
    found = contract_terms.survivors(company, DAYS_A_MONTH, ["plan"])
    rows = company.frame("customers")
    assert np.nansum(found.kept[:, 0]) + found.early + found.young == len(rows)
    joined, left = pd.to_datetime(rows["joined_on"]), pd.to_datetime(rows["left_on"])
    cohort, length = joined.dt.to_period("Q"), (left - joined).dt.days + 1
    own = (rows["plan"] == "Plus") & (cohort == "2024Q2")
    mine = found.kept[(found.rows["plan"] == "Plus") & (found.rows["cohort"] == pd.Timestamp("2024-04-01"))].sum(axis=0)
    by_hand = [(own & (left.isna() | (length > k * DAYS_A_MONTH + contract_terms.GRACE))).sum() for k in range(1, 24)]
    assert mine[:24].tolist() == [own.sum(), *by_hand]
    assert np.isnan(mine[24:]).all()  # the last of them joined on 30 June 2024
    assert (np.diff(np.nan_to_num(found.kept), axis=1) <= 0).all()


def test_what_of_a_term_is_left_tells_whether_leaving_waits_for_its_end(company, various):
    assert contract_terms.survivors(company, DAYS_A_MONTH).passed == pytest.approx(0.5, abs=0.05)  # any day
    assert contract_terms.survivors(various, DAYS_A_MONTH).passed < 0.08


def test_the_base_and_what_it_paid_by_hand():
    company = made(
        joined_on=days("2023-01-01", "2023-01-01", "2024-06-15", "2025-07-01", "2022-01-01"),
        left_on=days(None, "2025-06-01", None, None, "2024-01-01"),
        monthly_revenue=[10.0, 20.0, None, 40.0, 50.0],
    )
    now = contract_terms.base(company, YEAR, [STAGE]).set_index("renewals")
    assert now["n"].to_dict() == {0: 1, 1: 1, 2: 1}
    assert now["fee"].to_dict() == {0: 40, 1: 0, 2: 10}
    assert now["unpriced"].to_dict() == {0: 0, 1: 1, 2: 0}
    assert now[STAGE].to_dict() == {0: "3 to 12 months", 1: "second year", 2: "third year on"}
    then = contract_terms.base(company, YEAR, on=date(2023, 12, 30), ahead=2).drop(columns="fold").sum()
    # the first made both renewals ahead, the second both (it left in the third year), the fifth one in early 2023
    assert then[["n", "paid", "kept", "fee"]].tolist() == [3, 4, 2, 80]
    assert then["fee_paid"] == 10 * 2 + 20 * 2


# ---- models under resamples ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ShiftedBetaGeometric, BetaDiscreteWeibull])
def test_refits_to_all_resamples_are_the_fits_to_each(kind):
    luck = np.random.default_rng(4)
    stay, fold = luck.geometric(luck.beta(0.8, 6, 20_000)) - 1, luck.integers(0, 256, 20_000)
    table = np.stack([np.bincount(fold, stay >= t, minlength=256) for t in range(13)], axis=1)
    matrix = with_plain(group_weights(30, 3))
    kept = matrix @ table
    model = kind().fit(table.sum(axis=0))
    found = refits(model, kept[:, :-1], kept[:, :-1] - kept[:, 1:])
    assert found[0] == pytest.approx(model.params.to_numpy())
    t = np.arange(13)
    for i in (1, 2, 3):
        assert model.survival(t, found[i]) == pytest.approx(kind().fit(kept[i]).survival(t), abs=2e-5)


def test_where_people_are_alike_refits_keep_to_the_curve():
    matrix = with_plain(group_weights(200, 3))
    luck = np.random.default_rng(1)
    stay, fold = luck.geometric(0.02, 3000) - 1, luck.integers(0, 256, 3000)
    table = np.stack([np.bincount(fold, stay >= t, minlength=256) for t in range(25)], axis=1)
    kept = matrix @ table
    model = ShiftedBetaGeometric().fit([3000, *(3000 * 0.985 ** np.arange(1, 25) ** 0.97).round()])
    found = refits(model, kept[:, :-1], kept[:, :-1] - kept[:, 1:])[1:]
    assert np.isfinite(found).all()
    alike = found.max(axis=1) > 9999  # these ran off to people who are alike, and stopped there
    assert 20 < alike.sum() < 200
    rate = 1 - (kept[1:, :-1] - kept[1:, 1:]).sum(axis=1) / kept[1:, :-1].sum(axis=1)
    assert model.survival(24, found)[alike] == pytest.approx(rate[alike] ** 24, abs=1e-3)


def test_payments_ahead_are_the_sums_that_define_them():
    model = ShiftedBetaGeometric().fit([1000, 869, 743, 653, 593, 551, 517, 491])
    fit = RenewalFit(model, model.params.to_numpy()[None])
    factors = 1.1 ** -np.arange(400.0)
    endless = fit.ahead(3, factors)[0]
    assert endless == pytest.approx(model.residual_lifetime(np.arange(4), 0.1), rel=1e-4)
    one = fit.ahead(2, np.ones(1))[0]
    assert one == pytest.approx(model.retention([1, 2, 3]))
    # half of the next term's leavers are gone already: of 1 - (1 - r) / 2 who are here, r renew
    half = fit.ahead(0, np.ones(1), passed=0.5)[0, 0]
    assert half == pytest.approx(one[0] / (1 - (1 - one[0]) / 2))
    assert fit.ahead(4, np.zeros(0)).tolist() == [[0.0] * 5]


def test_the_constant_rate_is_the_formula_of_the_textbook():
    flat = ConstantRate(1000, 200)
    fit = RenewalFit(flat, np.array([[0.8]]))
    assert flat.residual_lifetime(7, 0.1, fit.params)[0] == pytest.approx(
        0.8 * 1.1 / 0.3
    )  # F&H 2010: 266.67 / 1.1 after it
    assert fit.ahead(2, 1.1 ** -np.arange(300.0))[0] == pytest.approx([0.8 * 1.1 / 0.3] * 3)
    assert flat.log_likelihood == pytest.approx(800 * np.log(0.8) + 200 * np.log(0.2))


# ---- worlds with known truth -----------------------------------------------------------------------------------------


def test_a_world_of_sbg_is_recovered(various):
    level = renewal_models.fitted(various, 1).levels["all"]
    alpha, beta = level.fits["sBG"].model.params
    errors = level.fits["sBG"].model.standard_errors
    assert abs(alpha - 0.8) < 2 * errors["alpha"]
    assert abs(beta - 14) < 2 * errors["beta"]
    found = contracts.fits(various)
    assert (found.known, found.facts["falls"], found.facts["rises"], found.facts["gain"]) == (
        "forecast",
        True,
        False,
        0,
    )
    assert found.facts["first"] == figure(found, "churn-term-1")
    assert found.facts["later"] == figure(found, "churn-term-12")
    assert found.facts["own"] == figure(found, "duration-dependence")
    assert found.facts["after"] == pytest.approx(11 * DAYS_A_MONTH)
    assert found.facts["first"].value == pytest.approx(0.8 / 14.8, abs=0.01)  # the mean of the chances
    assert not figure(found, "duration-dependence").excludes(1)
    seen = found.table[found.table["at_risk"] >= 100]
    assert (seen["value"] - seen["sBG"]).abs().max() < 0.03
    beyond = found.table[found.table["months"] > seen["months"].max() + 12]
    assert beyond["value"].isna().all()
    assert beyond["sBG"].is_monotonic_decreasing


def test_in_a_world_of_equals_churn_does_not_fall_and_the_models_say_so(alike):
    found = contracts.fits(alike)
    assert not found.facts["falls"]
    assert not found.facts["rises"]
    assert found.facts["first"].low < 0.04 < found.facts["first"].high
    assert contracts.base(alike).answered
    off = figure(contracts.shortcut(alike), "shortcut-off")
    assert off.value == pytest.approx(0, abs=0.02)


def test_the_average_rate_undervalues_the_long_standing(various):
    found = contracts.shortcut(various)
    off = found.table[found.table["horizon"] == "24 months"].set_index(STAGE)["off"]
    assert figure(found, "shortcut-off").high < 0
    assert off["third year on"] < off["second year"] < off["3 to 12 months"] < off["first 3 months"]
    assert off["first 3 months"] > 0
    assert [e["stage"] for e in found.facts["ends"]] == ["first 3 months", "third year on"]
    assert [e["off"] for e in found.facts["ends"]] == [off["first 3 months"], off["third year on"]]
    assert (found.facts["low"], found.facts["detected"]) == (True, True)
    assert found.facts["off"].value == -off["all"]
    assert "undervalues" in found.headline
    level = renewal_models.fitted(various, 1).levels["all"]
    assert found.facts["renewals"] == level.at_risk[0].sum()
    assert found.facts["renewed"] == pytest.approx(1 - level.lost[0].sum() / level.at_risk[0].sum())
    assert found.facts["rate"] == pytest.approx(1.1 ** (1 / 12) - 1)
    endless = found.table[found.table["horizon"] == "without end"].set_index(STAGE)["off"]
    assert endless["all"] < off["all"]


def test_the_forecast_of_months_held_back_comes_true(various):
    found = contracts.base(various)
    off = figure(found, "held-back-off")
    assert off.low < 0 < off.high
    assert abs(off.value) < 0.015
    trial = found.facts["trial"]
    assert trial["span"] == pytest.approx(YEAR)
    assert trial["expected"] / trial["made"] - 1 == pytest.approx(off.value)
    assert trial["still"] / trial["kept"] - 1 == pytest.approx(trial["still_off"])
    assert abs(trial["still_off"]) < 0.03
    assert trial["money_off"] == pytest.approx(off.value)  # everybody pays the same
    rows, then = various.frame("customers"), pd.Timestamp(trial["then"])
    here = rows[(rows["joined_on"] <= then) & ~(rows["left_on"] <= then)]
    assert trial["customers"] == len(here)
    assert next(f for f in found.figures if f.name == "held-back-off").known == "count"


def test_where_own_chances_fall_bdw_says_so():
    def settle(luck, n):
        return luck.beta(0.9, 6, n)

    luck = np.random.default_rng(9)
    joined = pd.Timestamp("2021-01-01") + pd.to_timedelta(luck.integers(0, 1795, 12_000), unit="D")
    # discrete Weibull: still here after t terms with chance (1 - p)^(t^0.5)
    terms_stayed = np.ceil((np.log(luck.random(12_000)) / np.log1p(-settle(luck, 12_000))) ** 2)
    stay = np.minimum(np.rint(terms_stayed * DAYS_A_MONTH), 9_999)
    left = pd.Series(joined + pd.to_timedelta(stay - 1, unit="D"))
    found = contracts.fits(made(joined_on=joined, left_on=left.where(left <= AS_OF)))
    assert found.facts["gain"] > 0
    assert "own chance of leaving also falls" in found.detail
    c = figure(found, "duration-dependence")
    assert c.low < 0.5 < c.high


# ---- money -----------------------------------------------------------------------------------------------------------


def test_the_value_of_the_base_is_the_sum_over_its_customers():
    settings = SETTINGS | {"money": MONEY | {"first_flow": "end"}, "segments": ["plan"]}
    plan = np.random.default_rng(8).choice(["a", "b"], 3000)
    company = world(3000, lambda luck, n: luck.beta(1.2, 9, n), fee=25.0, settings=settings, term=3, plan=plan)
    found, fitted = contracts.base(company, term_months=3), renewal_models.fitted(company, 3)
    rows = company.frame("customers").query("left_on.isnull()")
    stay = ((AS_OF - pd.to_datetime(rows["joined_on"])).dt.days + 1 - contract_terms.GRACE) / (3 * DAYS_A_MONTH)
    k, rate, total = np.maximum(np.ceil(stay) - 1, 0).to_numpy(), 1.1**0.25 - 1, 0.0
    for plan_name, renewals in zip(rows["plan"], k, strict=True):
        fit = fitted.levels[plan_name].fits["sBG"].model
        alpha, beta = fit.params
        s = np.exp(special.betaln(alpha, beta + renewals + np.arange(9)) - special.betaln(alpha, beta + renewals))
        here = 1 - fitted.passed * (1 - s[1])
        delay = np.arange(8) + 1  # the first payment after a term
        total += 25 * 3 * 0.5 * (s[1:] / here) @ (1 + rate) ** -delay.astype(float)
    assert all(level.best == "sBG" for name, level in fitted.levels.items() if name != "all")
    assert found.table.set_index(STAGE).loc["all", "value"] == pytest.approx(total, rel=1e-9)


def test_a_new_customers_months_are_the_lifetime_of_the_model(various):
    found = contracts.lifetimes(various).table.set_index(["after", "model"])
    model = renewal_models.fitted(various, 1).levels["all"].fits["sBG"].model
    rate = 1.1 ** (1 / 12) - 1
    assert found.loc[(0, "sBG"), "without_end"] == pytest.approx(model.lifetime(rate))
    assert found.loc[(0, "sBG"), "value"] == pytest.approx(
        model.survival(np.arange(24)) @ (1 + rate) ** -np.arange(24.0)
    )
    ahead = model.survival(np.arange(12, 36)) / model.survival(12) @ (1 + rate) ** -np.arange(24.0)
    assert found.loc[(12, "sBG"), "value"] == pytest.approx(ahead)
    assert (found["money"] / found["value"]).to_numpy() == pytest.approx(np.full(len(found), 10 * 0.5))
    facts = contracts.lifetimes(various).facts
    assert [k["after"] for k in facts["later"]] == [12, 24]
    assert facts["later"][0]["months"] == found.loc[(12, "sBG"), "value"]
    assert (facts["shortest"], facts["longest"]) == (
        found.loc[0, "without_end"].min(),
        found.loc[0, "without_end"].max(),
    )
    assert facts["worth"].value == found.loc[(0, facts["model"]), "money"]
    assert found.loc[(24, "sBG"), "value"] > found.loc[(12, "sBG"), "value"] > found.loc[(0, "sBG"), "value"]


def test_the_base_goes_on_to_pay_what_was_forecast_where_nothing_but_tenure_changes():
    """Truth: the same customers followed for 24 months more, in the demo's world without programmes and trouble."""
    still = {"welcome_effect": 1.0, "managers_effect": 1.0, "app_effect": 1.0, "harbour_drop": 0.0}
    now, later = (paths.simulate(4, 6000, paths.World(**still, **more)) for more in ({}, {"until": "2028-06-30"}))
    end = paths.day("2026-06-30") + 1
    here = now.active(end)
    months = np.minimum((later.left - end)[here] / paths.MONTH, 24).mean()
    joined, left = (pd.Series(paths.EPOCH + np.where(d < end, d, 0)) for d in (now.joined, now.left))
    company = made(SETTINGS | {"as_of": "2026-06-30", "segments": ["plan"]}, joined_on=joined,
                   left_on=left.where(now.left < end), plan=now.plan.astype(str))  # fmt: skip
    fitted = renewal_models.fitted(company, 1)
    cells = contracts._today(company, fitted)
    assert cells["n"].sum() == pytest.approx(here.sum(), abs=5)
    ahead = contracts._ahead(fitted, cells, np.ones(24)) @ cells["n"] / cells["n"].sum()
    assert ahead[0] == pytest.approx(months, abs=3 * np.hypot(ahead[1:].std(), 8 / np.sqrt(here.sum())))
    assert ahead[0] == pytest.approx(months, rel=0.02)


def test_the_parts_of_the_demos_base_add_up_and_figures_have_intervals(company):
    found = contracts.base(company).table.set_index(STAGE)
    parts = found.drop(index="all")
    assert parts[["value", "n", "share"]].sum().tolist() == pytest.approx(
        found.loc["all", ["value", "n", "share"]].tolist()
    )
    assert found.loc["all", "n"] == company.customers.left_on.isnull().sum().execute()
    low, high = found.loc["all", ["low", "high"]]
    assert low < found.loc["all", "BdW"] < high
    off = figure(contracts.base(company), "contract-base-off")
    value = figure(forecast.base(company), "forecast").value
    assert off.value == pytest.approx(found.loc["all", "value"] / value - 1)
    assert abs(off.value) < 0.01
    for each in (contracts.fits, contracts.lifetimes, contracts.shortcut, contracts.base):
        for f in each(company).figures:
            assert f.estimate.low < f.estimate.value < f.estimate.high, f.name
    top = parts["share"].idxmax()
    facts = contracts.base(company).facts
    assert (facts["top"], facts["top_share"]) == (top, parts["share"].max())
    assert facts["by_model"] == found.loc["all", list(facts["by_model"])].to_dict()
    levels = contracts.lifetimes(company).table.query("after == 0 and model == 'sBG'").set_index("level")["value"]
    assert levels["Basic"] < levels["Plus"] < levels["Pro"]  # the hazards of the plans


def test_stages_that_are_too_small_are_put_together():
    joined = [*days(*["2025-11-20"] * 10), *days(*["2025-05-01"] * 35), *days(*["2021-05-01"] * 80)]
    left = days(*[None] * 60, *["2022-03-02"] * 20, *["2023-08-08"] * 15, *["2024-12-12"] * 30)
    company = made(joined_on=joined, left_on=left.where(left > pd.Series(joined)), monthly_revenue=np.full(125, 9.0))
    cells = contracts._today(company, renewal_models.fitted(company, 1))
    assert (
        cells.groupby(STAGE)["n"].sum().to_dict() == {contracts.OTHER: 60}
        or cells.groupby(STAGE)["n"].sum().min() >= 30
    )


# ---- what cannot be answered -----------------------------------------------------------------------------------------

QUESTIONS = (contracts.fits, contracts.lifetimes, contracts.shortcut, contracts.base)


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_cannot_be_answered_gives_the_reason(question, unanswerable):
    for words, company in unanswerable.items():
        found = question(company)
        assert not found.answered
        assert words in found.headline


def test_without_money_curves_are_shown_and_values_are_not():
    company = world(1500, spread, settings={k: v for k, v in SETTINGS.items() if k != "money"})
    assert contracts.fits(company).answered
    for question in QUESTIONS[1:]:
        assert "no money block" in question(company).headline


def test_levels_without_models_of_their_own_are_named_and_valued_like_all():
    settings = SETTINGS | {"segments": ["plan"]}
    plan = np.where(np.arange(1200) < 1100, "a", "b")
    company = world(
        1200, lambda luck, n: np.where(plan == "a", luck.beta(1.2, 9, n), 1e-9), settings=settings, plan=plan
    )
    found = renewal_models.fitted(company, 1)
    assert list(found.levels) == ["a", "all"]
    assert found.unfitted == ("b",)
    assert found.of("b") is found.levels["all"]
    assert contracts.fits(company).facts["unfitted"] == ["b"]
    with pytest.raises(Unanswered, match="nobody-left"):
        renewal_models._level(np.array([[5.0, 5.0, 5.0, 5.0]]), np.array([0]), np.ones((1, 1)))
    with pytest.raises(Unanswered, match="few-renewals"):
        renewal_models._level(np.array([[5.0, 4.0, 3.0]]), np.array([0]), np.ones((1, 1)))


@pytest.mark.parametrize("as_of", ["2022-08-31", "2025-03-15"])
def test_a_young_company_gets_findings_or_reasons(as_of, few_customers):
    company = Company.from_frames(demo.settings("demo", draws=60, as_of=as_of), {"customers": few_customers})
    for question in QUESTIONS:
        for months in (1, 12):
            found = question(company, months)
            assert found.headline
            for f in found.figures:
                row = f.row()
                assert row["low"] is None or row["low"] <= row["value"] <= row["high"], f
