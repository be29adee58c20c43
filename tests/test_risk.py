"""Risk: companies whose truth is known, fields that leak the outcome, and a list that is not for everybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from net import opened
from simulated import no_programmes
from surveys import figures, survey

from cxlib import demo
from cxlib.churn import risk
from cxlib.counts import snapshots
from cxlib.errors import InputError, Unanswered
from cxlib.intake.company import Company
from cxlib.page import prediction

pytestmark = pytest.mark.filterwarnings("error")
HERE = Path(__file__).parent / "companies"
EXPORTS = Path(__file__).resolve().parents[2] / "shared" / "data"
ALL = (risk.beyond, risk.signals, risk.calibration, risk.leakage, risk.summary)
# A world in which only the plan predicts who leaves, and one in which the score predicts a lot.
NOTHING = {"link": False, "silence": 1.0, "welcome_effect": 1.0, "managers_effect": 1.0, "app_effect": 1.0}
MUCH = {"hazard_ratios": (3.0, 9.0), "answering": 0.9, "welcome_effect": 1.0, "managers_effect": 1.0, "app_effect": 1.0}
LISTED = {"minimum_base": 30, "at_risk_list": True}


def made(customers=4000, seed=5, change=None, world=MUCH, **settings):
    frames = demo.subscription(seed, customers, **world)
    if change:
        change(frames)
    return Company.from_frames(demo.settings("demo", draws=200, privacy=LISTED, **settings), no_programmes(frames))


@pytest.fixture(scope="module")
def unlinked():
    return made(world=NOTHING)


@pytest.fixture(scope="module")
def linked():
    return made()


@pytest.fixture(scope="module")
def few():
    """A company of too few customers for a model; its settings give no leave to list them."""
    return Company.from_frames(demo.settings("demo"), no_programmes(demo.subscription(1, 300)))


@pytest.fixture(scope="module")
def unbound():
    """Answers of customers without contracts."""
    return survey([1, 5] * 40)


# ---- what the score adds -----------------------------------------------------------------------------------------


def test_a_score_that_predicts_nothing_adds_nothing(unlinked):
    found = risk.beyond(unlinked, "nps")
    assert not found.facts["found"]
    assert found.facts["base"][:4] == ["time as a customer", "plan", "region", "monthly price"]
    assert found.known == "adjusted"
    gain = figures(found)["nps-gain"]
    assert gain.low <= 0.003
    assert abs(gain.value) < 0.01


def test_a_score_that_predicts_much_is_found_out_of_time(linked):
    found = risk.beyond(linked, "nps")
    assert found.facts["found"]
    assert found.facts["p"] < 0.001
    assert figures(found)["nps-gain"] == found.facts["gain"]
    assert found.facts["gain"].low > 0
    shown = found.table.set_index(["measure", "model"])["value"]
    for measure in ("concordance", "lift of the top tenth", "mean log score"):
        difference = shown[measure, "with the score"] - shown[measure, "without the score"]
        assert shown[measure, "gain"] == pytest.approx(difference)
        assert difference > 0
    ends = [found.facts[k] for k in ("without", "with_it")]
    assert ends == [shown["concordance", f"{k} the score"] for k in ("without", "with")]


def test_the_likelihood_ratio_is_that_of_two_fits(linked):
    trial = prediction.trial_of(linked, 182)
    one, other = (trial.fitted.fit(f).log_likelihood for f in (trial.base, [*trial.base, "NPS answer"]))
    facts = risk.beyond(linked, "nps").facts
    assert facts["ratio"] == pytest.approx(2 * (other - one))
    assert facts["df"] == trial.fitted.cells["NPS answer"].nunique() - 1


def test_odds_are_in_the_order_of_the_true_hazards(linked):
    fitted = prediction.fitted_by(linked, linked.as_of, 182)
    shown = fitted.fit(fitted.fields).table.set_index(["predictor", "level"])["odds_ratio"]["NPS answer"]
    relative = shown / shown["promoter"]
    assert 1.5 < relative["passive"] < 5
    assert 3 < relative["detractor"] < 11  # 9 when they have just said so; a score grows old in half a year
    assert relative["passive"] < relative["detractor"]


def test_the_snapshots_judged_are_those_counted_by_hand(linked):
    trial = prediction.trial_of(linked, 182)
    day = pd.Timestamp(trial.test_day)
    people = linked.frame("customers")
    here = people[(people["joined_on"] <= day) & ~(people["left_on"] <= day)]
    soon = (here["left_on"] <= day + pd.Timedelta(days=182)) & (here["left_reason"] != "payment failed")
    assert trial.test["n"].sum() == len(here)
    assert trial.test["left"].sum() == soon.sum()
    gone = (here["left_on"] <= day + pd.Timedelta(days=182)) & (here["left_reason"] == "payment failed")
    assert trial.test["other"].sum() == gone.sum()
    assert any(c.startswith(f"{gone.sum():,} involuntary leaver") for c in risk.beyond(linked, "nps").caveats)
    given = linked.frame("responses").query("metric == 'nps'").dropna(subset="score")
    given = given[given["answered_at"].dt.normalize().between(day - pd.Timedelta(days=365), day)]
    last = given.sort_values(["answered_at", "response_id"]).groupby("customer_id")["score"].last()
    score = here["customer_id"].map(last)
    leaving = trial.test.groupby("NPS answer")[["n", "left"]].sum()
    for band, mine in {"promoter": score >= 9, "detractor": score <= 6, "no answer": score.isna()}.items():
        assert leaving.loc[band].tolist() == [mine.sum(), (mine & soon).sum()]
    assert max(trial.fitted.days) == trial.test_day - pd.Timedelta(days=182)  # outcomes known when the test begins


def test_of_several_signals_the_one_that_predicts_is_found(linked, unlinked):
    found = risk.signals(linked)
    shown = found.table.set_index("signal")
    assert found.facts["best"] == "NPS answer"
    assert found.facts["best_gain"].value == shown.loc["NPS answer", "value"]
    assert found.facts["together"].value == shown.loc["all together", "value"]
    assert found.facts["customers"] == shown["n"].iloc[0]
    assert found.facts["tests"] == shown["p"].count()
    assert shown.loc["NPS answer", "found"]
    assert shown["value"].drop("all together").idxmax() == "NPS answer"
    assert not shown.loc["support contacts", "found"] or shown.loc["support contacts", "value"] > 0
    nothing = risk.signals(unlinked)
    assert not nothing.facts["clear"]
    assert not nothing.facts["together_found"]
    assert not nothing.table["found"].any()
    assert risk.signals(linked).table["n"].nunique() == 1  # the same customers


# ---- is the model any good ---------------------------------------------------------------------------------------


def test_probabilities_agree_with_who_left(linked):
    found = risk.calibration(linked)
    shown, known = found.table, figures(found)
    trial = prediction.trial_of(linked, 182)
    assert shown["n"].sum() == trial.test["n"].sum()
    assert shown["events"].sum() == trial.test["left"].sum()
    assert known["calibration-slope"].low < 1 < known["calibration-slope"].high
    assert not found.facts["off"]
    assert found.facts["left"] == shown["events"].sum()
    assert found.facts["expected"] == pytest.approx((shown["predicted"] * shown["n"]).sum())
    assert known["risk-concordance"].low > 0.6
    share = shown["events"].sum() / shown["n"].sum()
    assert found.facts["same_for_all"] == pytest.approx(share * (1 - share))
    assert known["brier"].value < share * (1 - share)


def test_probabilities_out_of_date_are_called_too_low():
    """Half of those who left before the test are forgotten: what is predicted is too low."""

    def forget(frames):
        people = frames["customers"]
        gone = (people["left_on"] < "2025-12-30") & (people.index % 2 == 0)
        frames["customers"] = people.assign(
            left_on=people["left_on"].mask(gone), left_reason=people["left_reason"].mask(gone)
        )
        for name in ("responses", "orders", "contacts"):
            frames[name] = frames[name].head(200)

    made_up = made(2500, change=forget)
    found = risk.calibration(made_up)
    assert found.facts["off"][0] == "too low"
    assert found.facts["expected"] < found.facts["left"]


# ---- fields that leak the outcome ----------------------------------------------------------------------------------


def leak(frames):
    people = frames["customers"]
    gone = people["left_on"].notna()
    number = np.arange(len(people))
    people["why"] = np.where(gone, [f"words {n % 150}" for n in number], None)
    late = people[gone].head(40)
    after = pd.DataFrame({"contact_id": [f"X{i}" for i in range(40)], "customer_id": late["customer_id"].to_numpy(),
                          "opened_at": late["left_on"].to_numpy()})  # fmt: skip
    frames["contacts"] = pd.concat([frames["contacts"], after], ignore_index=True)


@pytest.fixture(scope="module")
def leaky():
    return made(2500, change=leak, segments=["plan"])  # as a segment it would be refused


def test_fields_that_leak_the_outcome_are_listed_and_get_no_ratio(leaky):
    found = risk.leakage(leaky)
    shown = found.table.set_index("what")["kind"].to_dict()
    assert shown["why"] == "column of customers"
    assert shown["contacts"] == "recorded after leaving"
    assert found.table.set_index("what").loc["contacts", "reason"].startswith("40 of ")
    assert {r["source"]: r["n"] for r in found.facts["late"]}["contacts"] == 40
    assert "plan" not in shown
    assert found.facts["fields"] == ["why"]
    assert found.known == "count"
    fitted = prediction.fitted_by(leaky, leaky.as_of, 182)
    assert "why" not in set(fitted.fit(fitted.fields).table["predictor"])
    assert figures(risk.calibration(leaky))["risk-concordance"].value < 0.9


def test_a_fee_that_ends_when_customers_leave_is_no_predictor():
    def ended(frames):
        people = frames["customers"]
        people.loc[people["left_on"].notna(), "monthly_revenue"] = np.nan

    company = made(2500, change=ended)
    assert risk.leakage(company).facts["fields"] == ["monthly_revenue", "monthly price"]
    assert any("the outcome: monthly price." in c for c in risk.beyond(company).caveats)


def test_where_nothing_leaks_it_is_said(linked):
    found = risk.leakage(linked)
    assert found.facts == {"fields": [], "levels": [], "late": []}
    assert found.answered
    assert found.table.empty


# ---- who is at risk ----------------------------------------------------------------------------------------------


def test_the_list_is_in_order_and_its_values_add_up(linked):
    listed = risk.at_risk(linked, most=10_000)
    people = linked.frame("customers").set_index("customer_id")
    here = people[people["left_on"].isna()]
    assert set(listed["customer_id"]) == set(here.index)
    assert listed["probability"].between(0, 1).all()
    money = linked.settings.money
    worth = here.loc[listed["customer_id"], "monthly_revenue"].to_numpy() * money.gross_margin * money.horizon_months
    assert listed["value_at_risk"].to_numpy() == pytest.approx(listed["probability"].to_numpy() * worth)
    assert listed["value_at_risk"].is_monotonic_decreasing
    assert list(risk.at_risk(linked, most=7)["customer_id"]) == list(listed["customer_id"][:7])
    likely = listed.sort_values("probability").iloc[-50:]
    assert likely["reasons"].str.contains("NPS answer: detractor \\(x [2-9]").all()
    promoters = listed.loc[listed["NPS answer"] == "promoter", "reasons"]
    assert not promoters.str.contains("NPS answer").any()
    known = figures(risk.summary(linked))
    assert known["expected-leavers"].value == pytest.approx(listed["probability"].sum())
    assert known["value-at-risk"].value == pytest.approx(listed["value_at_risk"].sum())
    facts = risk.summary(linked).facts
    assert facts["above"] == (listed["probability"] >= facts["end"]).sum() > 0
    trial = prediction.trial_of(linked, 182)
    assert facts["earlier"]["left"] == trial.test["left"].sum()
    assert facts["earlier"]["expected"] == pytest.approx(risk.calibration(linked).facts["expected"])


def test_the_list_needs_leave(few):
    with pytest.raises(InputError, match="at_risk_list: true"):
        risk.at_risk(few)


def test_the_summary_names_nobody_and_hides_small_groups(linked):
    found = risk.summary(linked)
    shown = found.table.set_index(["risk", "price"])
    assert not {"customer_id", "reasons"} & set(found.table)
    text = " ".join(found.texts) + found.table.to_csv()
    assert not any(c in text for c in risk.at_risk(linked, most=50)["customer_id"])
    seen = shown["n"].dropna()
    assert (seen >= 30).all()
    whole = shown.loc[("all", "all")]
    assert whole["n"] == shown.xs("all", level="price")["n"].drop("all").sum()
    assert whole["low"] < whole["value"] < whole["high"]
    hidden = shown["value"].isna()
    assert (shown["n"].isna() == hidden).all()
    assert found.facts["hidden"] == hidden.sum()
    assert "not who would stay" in found.caveats[0]
    assert found.known == "forecast"


def test_without_money_there_is_a_list_without_value():
    frames = no_programmes(demo.subscription(5, 1500, **MUCH))
    frames["customers"] = frames["customers"].drop(columns="monthly_revenue")
    settings = demo.settings("demo", draws=50, privacy=LISTED)
    without = Company.from_frames({k: v for k, v in settings.items() if k != "money"}, frames)
    listed = risk.at_risk(without)
    assert listed["value_at_risk"].isna().all()
    assert listed["probability"].is_monotonic_decreasing
    assert "value-at-risk" not in figures(risk.summary(without))
    # From orders: what they paid in the last year is used as the monthly price.
    paying = Company.from_frames(settings, frames)
    top = risk.at_risk(paying).iloc[0]
    orders = paying.frame("orders").query("customer_id == @top.customer_id")
    year = orders.loc[orders["ordered_at"] > pd.Timestamp(paying.as_of) - pd.Timedelta(days=364), "revenue"].sum()
    expected = top["probability"] * year * (365.25 / 12 / 365) * 0.75 * 24
    assert top["value_at_risk"] == pytest.approx(expected)


# ---- where there is no answer ------------------------------------------------------------------------------------


def test_companies_without_contracts_dates_or_leavers_get_the_reason(unbound, few):
    for question in ALL:
        found = question(unbound)
        assert not found.answered
        assert "without contracts" in found.headline
        assert "04_value" in found.detail
    assert "a model needs 50" in risk.beyond(few).headline
    late = made(1200, leavers_since="2026-03-01")
    for question in (risk.beyond, risk.signals, risk.calibration, risk.summary):
        assert "no earlier date" in question(late).headline
    with pytest.raises(Unanswered, match="no-snapshot"):
        risk.at_risk(late)


def test_a_company_without_answers_still_gets_its_probabilities():
    def silence(frames):
        del frames["responses"]

    quiet = made(2500, change=silence, world=MUCH | {"hazard_ratios": (1.5, 2.5)})
    assert "no responses table" in risk.beyond(quiet).headline
    assert risk.calibration(quiet).answered
    assert set(risk.at_risk(quiet)) == {"customer_id", "probability", "value_at_risk", "reasons"}


def test_leavers_since_limits_the_snapshots_fitted():
    company = made(4000, leavers_since="2025-03-15")
    assert [str(d) for d in prediction.trial_of(company, 182).fitted.days] == ["2025-07-01", "2025-04-01"]


@pytest.mark.skipif(not EXPORTS.exists(), reason="the exports of the three companies are not beside the project")
def test_other_companies_get_findings_or_reasons():
    software = opened(str(HERE / "ravenstack"))
    assert not risk.beyond(software).facts["found"]
    assert not risk.beyond(software).facts["linked"]
    late = risk.leakage(software).table.set_index("what")["kind"]
    assert late["CSAT"] == late["contacts"] == "recorded after leaving"
    assert risk.calibration(software).facts["off"] == ["too low", "too extreme"]
    for name in ("nps_fr", "olist"):
        company = opened(str(HERE / name))
        assert not any(question(company).answered for question in ALL)


def test_metrics_unknown_are_refused(unbound):
    with pytest.raises(InputError, match="nosuch"):
        risk.beyond(unbound, "nosuch")


def test_names_of_fields_do_not_meet_those_of_columns():
    own = {snapshots.TENURE, snapshots.PRICE, snapshots.CONTACTS, snapshots.LAST_ORDER}
    assert all(" " in name for name in own)
