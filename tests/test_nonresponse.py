"""Non-response: rates by hand, weights that find the truth where they can, and bounds where they cannot."""

from __future__ import annotations

import net
import numpy as np
import pandas as pd
import pytest
from simulated import no_programmes
from surveys import CSAT, NPS, survey

from cxlib import demo
from cxlib.counts import invitations
from cxlib.demo import paths
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.scores import nonresponse


@pytest.fixture(scope="module")
def company():
    return net.opened("demo")


def asked(answers_by_plan, seed=1, metrics=NPS):
    """Ask customers of each plan: {plan: (score function, number asked, share that answers)}."""
    rng, rows = np.random.default_rng(seed), []
    for plan, (score, n, share) in answers_by_plan.items():
        true = score(rng, n)
        given = rng.random(n) < (share(true) if callable(share) else share)
        rows.append(pd.DataFrame({"true": true, "score": np.where(given, true, np.nan), "plan": plan}))
    frame = pd.concat(rows, ignore_index=True)
    company = survey(frame["score"], metrics=metrics, of_customers={"plan": frame["plan"].to_numpy(object)})
    truth = 100 * float((frame["true"] >= 9).mean() - (frame["true"] <= 6).mean())
    return company, truth


def happy(rng, n):
    return rng.choice([8, 9, 10], n)


def sad(rng, n):
    return rng.choice([2, 5, 8], n)


def estimates(found):
    return {r["weights"]: r["estimate"] for r in found.rows}


# ---- rates -----------------------------------------------------------------------------------------------


def test_the_share_answered_by_segment_is_counted(company):
    shown = nonresponse.rates(company, "nps").table.set_index(["segment", "level"])
    raw = company.frame("responses").query("metric == 'nps'").merge(company.frame("customers"), on="customer_id")
    raw = raw[raw["asked_at"].dt.date <= nonresponse._settled(company, "nps")]
    by_plan = raw.groupby("plan")["score"].agg(lambda s: s.notna().mean())
    for plan, share in by_plan.items():
        assert shown.loc[("plan", plan), "value"] == pytest.approx(share)
    gone = (raw["left_on"] - raw["asked_at"].dt.normalize()).dt.days <= 90
    assert shown.loc[("left within 90 days", "yes"), "value"] == pytest.approx(raw.loc[gone, "score"].notna().mean())
    found = nonresponse.rates(company, "nps")
    yes, no = (shown.loc[("left within 90 days", k), "value"] for k in ("yes", "no"))
    assert found.facts["fewer"]
    assert (found.facts["leavers"], found.facts["others"]) == (yes, no)
    assert found.facts["gap"].value == pytest.approx(yes - no)
    assert found.facts["rate"].n == len(raw)
    assert found.facts["young"] == (company.as_of - nonresponse._settled(company, "nps")).days
    assert found.known == "observed"


def test_questions_whose_answers_may_still_come_are_not_called_unanswered():
    n = 400
    asked_at = pd.Timestamp("2024-12-31") - pd.to_timedelta(np.arange(n) % 40, unit="D")
    late = asked_at + pd.Timedelta(days=6)
    score = np.where(late <= pd.Timestamp("2024-12-31"), 4.0, np.nan)
    company = survey(score, asked_at=asked_at)
    frames = {"customers": company.frame("customers")[["customer_id"]], "responses": company.frame("responses")}
    frames["responses"] = frames["responses"].assign(answered_at=late.where(~np.isnan(score)))
    frames["responses"] = frames["responses"][
        ["response_id", "customer_id", "metric", "asked_at", "answered_at", "score"]
    ]
    settings = {"name": "T", "as_of": "2024-12-31", "relationship": "contractual", "currency": "EUR", "metrics": CSAT}
    again = Company.from_frames(settings, frames)
    found = nonresponse.rates(again)
    assert not found.answered  # of the questions old enough every one was answered
    assert nonresponse._settled(again, "csat").isoformat() == "2024-12-25"


def test_customers_here_asked_and_heard_are_counted(company):
    finding = nonresponse.funnel(company, "nps", 12)
    found = finding.table.set_index("stage")["customers"]
    people, questions = company.frame("customers"), company.frame("responses").query("metric == 'nps'")
    here = people[people["left_on"].isna() | (people["left_on"] > "2025-06-30")]
    recent = questions[(questions["asked_at"] >= "2025-07-01") & questions["customer_id"].isin(here["customer_id"])]
    assert found["here"] == len(here)
    assert found["asked"] == recent["customer_id"].nunique()
    assert found["answered"] == recent.loc[recent["score"].notna(), "customer_id"].nunique()
    assert {k: finding.facts[k] for k in found.index} == found.to_dict()
    assert not finding.facts["only"]
    assert nonresponse.funnel(survey([5] * 60)).facts["only"]


# ---- weights ---------------------------------------------------------------------------------------------


def test_weights_find_the_truth_where_non_response_depends_on_the_plan():
    company, truth = asked({"a": (happy, 2000, 0.7), "b": (sad, 2000, 0.2)})
    found = estimates(nonresponse.reweighted(company, "nps"))
    assert abs(found[nonresponse.RAW].value - truth) > 15
    weighted = found[nonresponse.WEIGHTED]
    assert weighted.low <= truth <= weighted.high
    assert abs(weighted.value - truth) < 4


def test_with_one_cause_weights_are_those_of_post_stratification():
    company, _ = asked({"a": (happy, 500, 0.6), "b": (sad, 700, 0.3)})
    cells = invitations.response_counts(company, invitations.Asked("nps", ("plan",)), folds=False).set_index("plan")
    raw = company.frame("responses").merge(company.frame("customers"), on="customer_id").dropna(subset="score")
    net = 100 * ((raw["score"] >= 9).astype(float) - (raw["score"] <= 6)).groupby(raw["plan"]).mean()
    expected = (net * cells["asked"]).sum() / cells["asked"].sum()
    found = estimates(nonresponse.reweighted(company, "nps"))
    assert found[nonresponse.WEIGHTED].value == pytest.approx(expected)
    # here everybody was asked and is a customer of today, so that raking says the same
    assert found[nonresponse.RAKED].value == pytest.approx(expected)


def test_where_non_response_depends_on_the_score_weights_do_not_correct_it_and_the_page_says_so():
    company, truth = asked(
        {p: (lambda r, n: r.choice([2, 9], n), 1500, lambda s: np.where(s > 5, 0.8, 0.2)) for p in "ab"}
    )
    found = nonresponse.reweighted(company, "nps")
    weighted = estimates(found)[nonresponse.WEIGHTED]
    assert weighted.low > truth + 20  # a narrow interval around the wrong number
    assert found.bounds[0] <= truth <= found.bounds[1]
    page = nonresponse.weighted(company, "nps")
    assert (page.facts["lowest"], page.facts["highest"]) == found.bounds
    assert any("cannot correct for non-response that depends on the opinion itself" in c for c in page.caveats)
    assert page.table["weights"].eq(nonresponse.BOUNDS).any()
    assert page.known == "count"


def test_a_user_weight_is_kept_under_the_weights_for_non_response():
    rng = np.random.default_rng(3)
    given = np.where(rng.random(600) < 0.5, rng.choice([2.0, 9.0], 600), np.nan)
    weight = np.where(given == 9, 3.0, 1.0)
    plan = np.resize(np.array(["a", "b"], dtype=object), 600)
    company = survey(given, metrics=NPS, of_customers={"plan": plan}, weight=weight)
    found = estimates(nonresponse.reweighted(company, "nps"))
    nines, twos = (given == 9).sum(), (given == 2).sum()
    assert found[nonresponse.RAW].value == pytest.approx(100 * (3 * nines - twos) / (3 * nines + twos))
    assert found[nonresponse.WEIGHTED].value > 0


def test_effective_size_and_largest_weight_are_kishs():
    company, _ = asked({"a": (happy, 1000, 0.8), "b": (sad, 1000, 0.1)})
    row = next(r for r in nonresponse.reweighted(company, "nps").rows if r["weights"] == nonresponse.WEIGHTED)
    cells = invitations.response_counts(company, invitations.Asked("nps", ("plan",)), folds=False)
    each, n = (cells["asked"] / cells["answered"]).to_numpy(), cells["answered"].to_numpy()
    each = np.minimum(each, 5 * each.min())  # trimmed at five times the median, which is that of plan a
    assert row["effective_answers"] == pytest.approx((n @ each) ** 2 / (n @ each**2))
    assert row["largest_weight"] == pytest.approx(each.max() * n.sum() / (n @ each))


def test_weighting_brings_the_demo_nearer_the_truth():
    """The small version of make calibrate: there it does so in 200 simulated companies."""
    path = paths.simulate(77, 6000, paths.World())
    who, wave = np.nonzero(path.seen(path.asked))
    score = path.score[who, wave + 1]
    truth = 100 * float((score >= 9).mean() - (score <= 6).mean())
    company = Company.from_frames(demo.settings("demo", draws=50), no_programmes(demo.subscription(77, 6000)))
    found = estimates(nonresponse.reweighted(company, "nps", rake=False))
    assert abs(found[nonresponse.WEIGHTED].value - truth) < abs(found[nonresponse.RAW].value - truth)


def test_where_everyone_answered_or_nothing_is_known_it_is_said():
    assert "only answered questions" in nonresponse.weighted(survey([3] * 60)).headline
    with pytest.raises(Unanswered, match="few-customers-answered"):
        nonresponse.reweighted(survey([np.nan] * 60), "csat")
    unknown = nonresponse.weighted(survey([3.0] * 40 + [np.nan] * 20, asked_at=[pd.Timestamp("2024-06-01")] * 60))
    assert (unknown.facts["weighted"], unknown.facts["silent"], unknown.known) == (None, 20, "count")
    assert (unknown.facts["lowest"], unknown.facts["highest"]) == pytest.approx((140 / 60, 220 / 60))
    assert not unknown.figures


def test_what_non_responders_would_need_for_the_target_brings_the_whole_to_it(company):
    said = nonresponse.weighted(company, "nps").facts
    answered, silent = said["raw"].n, said["silent"]
    assert (said["raw"].value * answered + said["need"] * silent) / (answered + silent) == pytest.approx(said["target"])
    assert said["too_high"] == pytest.approx(10 * silent / (answered + silent))
    assert said["raked"].value == pytest.approx(-4.6, abs=0.05)


def test_weights_given_count_in_rates_and_comments():
    score = np.where(np.arange(200) < 100, 2.0, np.nan)
    made = survey(score, weight=np.where(np.arange(200) < 100, 3.0, 1.0), asked_at=[pd.Timestamp("2024-06-01")] * 200)
    assert nonresponse.rates(made).table["value"].iloc[0] == pytest.approx(0.75)
    comment = np.where(np.arange(100) % 2, "x", "")
    made = survey([2] * 60 + [10] * 40, metrics=NPS, comment=comment, weight=np.where(np.arange(100) % 2, 3.0, 1.0))
    assert nonresponse.comments(made).table["value"].to_numpy() == pytest.approx(0.75)


# ---- comments --------------------------------------------------------------------------------------------


def test_who_comments_is_counted():
    score = [2] * 100 + [10] * 200
    comment = ["bad"] * 60 + [""] * 40 + ["good"] * 30 + [None] * 170
    found = nonresponse.comments(survey(score, metrics=NPS, comment=comment))
    assert found.table.set_index("band")["value"].to_dict() == {"detractor": 0.6, "promoter": 0.15}
    assert found.facts["ratio"].value == pytest.approx(4)
    assert (found.facts["worst_share"], found.facts["best_share"]) == (0.6, 0.15)
    assert found.facts["detected"]
    assert not found.figures
