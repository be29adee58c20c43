"""The two demo companies: their files, the traps built into them, and their truth checked by other means."""

import dataclasses
import json
import time
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
import yaml
from demo_truth import shop_truth

from cxlib.counts import follow_up
from cxlib.demo import dirty, settings, shop, subscription
from cxlib.demo.exports import SCRIPT, csv_text, demo_files, shop_files
from cxlib.demo.paths import HARBOUR, HARBOUR_EXITS, MONTH, band_of, simulate
from cxlib.demo.paths import nps_answers as answered_questions
from cxlib.demo.shop import Shop, purchases
from cxlib.demo.subscription import World
from cxlib.intake.company import Company, open_company
from cxlib.stats import rates

ROOT = Path(__file__).parents[1]
PLANS = ("Basic", "Plus", "Pro")
LARGE = 16_000
AS_OF = pd.Timestamp("2026-06-30")
QUIET = {"welcome_effect": 1.0, "managers_effect": 1.0, "app_effect": 1.0, "harbour_drop": 0.0}
TRUTH = json.loads((ROOT / "tests/truth/demo.json").read_text())
SHOP_TRUTH = json.loads((ROOT / "tests/truth/demo-shop.json").read_text())


@pytest.fixture(scope="module")
def demo():
    return subscription()


@pytest.fixture(scope="module")
def large():
    return subscription(seed=3, customers=LARGE)


def nps_questions(frames):
    """NPS questions with their customer; an answer is a row with a score."""
    asked = frames["responses"][frames["responses"]["metric"] == "nps"]
    return asked.merge(frames["customers"], on="customer_id")


def nps_answers(frames):
    rows = nps_questions(frames)
    rows = rows[rows["score"].notna()].copy()
    rows["points"] = np.where(rows["score"] >= 9, 100, np.where(rows["score"] <= 6, -100, 0))
    return rows


def chosen(customers):
    return customers["left_on"].notna() & (customers["left_reason"] != "payment failed")


def log_ratios(rows):
    """Log ratios of rates of passives and detractors against promoters, by plan, and their standard errors."""
    band = pd.cut(rows["score"], [-1, 6, 8, 10], labels=["detractor", "passive", "promoter"]).astype(str)
    rows = rows.assign(stratum=rows["plan"], band=band, event=rows["event"].astype(int), fold=0)
    rows = rows.loc[rows["stop"] > rows["start"], ["stratum", "band", "start", "stop", "event", "fold"]]
    time = follow_up.person_time(ibis.memtable(rows))
    found = rates.rate_ratios(time, "band", "promoter", ["stratum", "month"], cluster=None)
    found = found.loc[["passive", "detractor"]]
    return np.log(found["value"]).to_numpy(), found["se"].to_numpy()


def start_stop(frames):
    """Each answer from its question to the next one, to leaving or to the cut; days since joining."""
    rows = nps_questions(frames).sort_values(["customer_id", "asked_at"], kind="stable")
    last = (rows["left_on"].fillna(AS_OF) - rows["joined_on"]).dt.days
    rows["start"] = (rows["asked_at"].dt.floor("D") - rows["joined_on"]).dt.days
    rows["stop"] = np.minimum(rows.groupby("customer_id")["start"].shift(-1).fillna(np.inf), last)
    rows["event"] = chosen(rows) & (rows["stop"] == last)
    return rows[rows["score"].notna() & (rows["stop"] > rows["start"])]


def net_margin(frames, start, stop):
    """Return per customer: invoices x margin less contact cost between two dates."""
    orders, contacts = frames["orders"], frames["contacts"]
    paid = orders[(orders["ordered_at"] >= start) & (orders["ordered_at"] < stop)]
    cases = contacts[(contacts["opened_at"] >= start) & (contacts["opened_at"] < stop)]
    ids = frames["customers"]["customer_id"]
    paid = paid.groupby("customer_id")["revenue"].sum().reindex(ids, fill_value=0.0)
    return 0.75 * paid - cases.groupby("customer_id")["cost"].sum().reindex(ids, fill_value=0.0)


# --- the committed files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("company", "made", "files"), [("demo", subscription, demo_files), ("demo-shop", shop, shop_files)]
)
def test_committed_exports_are_what_the_seed_makes(company, made, files):
    folder = ROOT / "data" / company
    exports = files(dirty(made()))
    assert {path.name for path in folder.iterdir()} == {*exports, "company.yaml"}
    for name, frame in exports.items():
        if name.endswith(".parquet"):
            pd.testing.assert_frame_equal(pd.read_parquet(folder / name), frame)
        else:
            assert (folder / name).read_bytes() == csv_text(name, frame).encode(), name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6_000_000


@pytest.mark.parametrize("company", ["demo", "demo-shop"])
def test_company_yaml_says_what_settings_gives(company):
    written = yaml.load((ROOT / "data" / company / "company.yaml").read_text(), yaml.BaseLoader)
    written.pop("sources")

    def as_text(value):
        if isinstance(value, dict):
            return {key: as_text(inner) for key, inner in value.items()}
        return [as_text(inner) for inner in value] if isinstance(value, list) else str(value)

    def number_free(text):
        return {**text, "money": {**text["money"], "discount_rate": None, "gross_margin": None}}

    given = settings(company)
    assert number_free(written) == number_free(as_text(given))
    for key in ("discount_rate", "gross_margin"):
        assert float(written["money"][key]) == given["money"][key]


@pytest.mark.parametrize(("company", "made"), [("demo", subscription), ("demo-shop", shop)])
def test_intake_sets_the_impossible_rows_aside_and_gives_the_rest_back(company, made):
    opened, frames = open_company(company), made()
    counts = opened.set_aside.groupby(["table", "reason"])["rows"].sum()
    assert counts.between(5, 25).all()
    assert len(counts) == (8 if company == "demo" else 6)
    scripts = 0
    for table, frame in frames.items():
        given = opened.frame(table)
        for column in frame:
            if column == "channel" and not opened.has(table, "channel"):
                continue
            by = ["initiative_id", "customer_id"] if table == "exposures" else frame.columns[0]
            got = given.sort_values(by)[column].reset_index(drop=True)
            expected = frame.sort_values(by)[column].reset_index(drop=True)
            same = (got == expected) | (got.isna() & expected.isna())
            scripts += (got[~same] == SCRIPT).sum()
            assert (got[~same] == SCRIPT).all(), (table, column)
    assert scripts == (1 if company == "demo" else 0)


def test_frames_are_a_company_without_complaints():
    frames = subscription(1, 300)
    company = Company.from_frames(settings(), frames)
    assert company.set_aside.empty
    assert dict(zip(company.record["table"], company.record["used"], strict=True)) == {
        t: len(f) for t, f in frames.items()
    }


# --- how the worlds are made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [subscription, shop])
def test_seed_decides_and_a_longer_follow_up_only_adds(made):
    first, again, other = made(5, 400), made(5, 400), made(6, 400)
    for table in first:
        pd.testing.assert_frame_equal(first[table], again[table])
    assert not first["orders"].equals(other["orders"])
    longer = made(5, 400, until="2027-06-30")
    for table in ("orders", "responses", "contacts"):
        assert len(longer[table]) > len(first[table])
        same = longer[table].head(len(first[table]))
        columns = [c for c in same if c not in ("answered_at", "score", "comment", "resolved_at", "reopened_at")]
        columns = [c for c in columns if c != "first_response_at"]
        pd.testing.assert_frame_equal(first[table][columns], same[columns])
        for column in set(same) - set(columns):  # what was open at the cut may be known later
            known = first[table][column].notna()
            assert (first[table][column][known] == same[column][known]).all()
    if made is subscription:
        left = first["customers"]["left_on"].notna()
        columns = ["customer_id", "joined_on", "left_on", "left_reason", "monthly_revenue"]
        pd.testing.assert_frame_equal(first["customers"][left][columns], longer["customers"][left][columns])
        assert longer["customers"]["left_on"].notna().sum() > left.sum()


def test_six_thousand_customers_take_little_time():
    spent = []
    for seed in (1, 2):
        begun = time.process_time()
        subscription(seed, 6000)
        spent.append(time.process_time() - begun)
    assert min(spent) < 1.5


def test_invoices_add_up_to_the_monthly_revenue(demo):
    orders = demo["orders"]
    last = orders.groupby("customer_id")["revenue"].last()
    revenue = demo["customers"].set_index("customer_id")["monthly_revenue"]
    pd.testing.assert_series_equal(last.sort_index(), revenue.sort_index(), check_names=False)
    before = orders.groupby("customer_id")["revenue"].shift()
    ratio = orders["revenue"] / before
    assert (orders["kind"] == "new").equals(before.isna())
    assert ratio[orders["kind"] == "renewal"].eq(1).all()
    assert ratio[orders["kind"] == "upsell"].sub(1.15).abs().max() < 0.001
    assert (orders["kind"] == "upsell").sum() > 300


def test_nobody_answers_calls_or_pays_outside_the_membership(demo):
    for table, column in (("responses", "answered_at"), ("contacts", "opened_at"), ("orders", "ordered_at")):
        rows = demo[table].merge(demo["customers"], on="customer_id")
        assert (rows[column].isna() | (rows[column] >= rows["joined_on"])).all()
        assert (rows[column].isna() | (rows[column] < rows["left_on"].fillna(AS_OF + pd.Timedelta(days=1)))).all()


def test_initiatives_reach_whom_they_should(demo):
    rows = demo["exposures"].merge(demo["customers"], on="customer_id")
    there = (rows["joined_on"] <= rows["exposed_on"]) & ~(rows["left_on"] <= rows["exposed_on"])
    assert there.all()
    welcome = rows[rows["initiative_id"] == "I1"]
    assert set(welcome["plan"]) == {"Basic", "Plus"}
    assert welcome["arm"].eq("treated").mean() == pytest.approx(0.5, abs=3 * 0.5 / len(welcome) ** 0.5)
    managers = rows[rows["initiative_id"] == "I2"]
    assert managers.groupby("branch")["exposed_on"].nunique().eq(1).all()
    branches = managers.groupby("exposed_on")["branch"].nunique()
    assert branches.tolist() == [12, 12, 12]
    assert demo["customers"]["branch"].nunique() == 48


def test_what_is_planned_changes_nothing_and_stays_planned(demo):
    later = subscription(until="2027-06-30")
    for frames in (demo, later):
        planned = frames["initiatives"].query("status == 'planned'").set_index("initiative_id")
        assert planned["planned_customers"].to_dict() == {"I4": 3000}
        assert set(frames["exposures"]["initiative_id"]) == {"I1", "I2", "I3"}
    early = subscription(5, 400, as_of="2025-03-31")["initiatives"]
    assert early["initiative_id"].tolist() == ["I1", "I2", "I4"]


# --- hazards are what they say, and the traps are there --------------------------------------------------------------


def test_full_answering_gives_the_true_hazard_ratios_back():
    frames = subscription(11, 16_000, answering=2.0, silence=1.0, harbour_drop=0.0)
    coefficient, error = log_ratios(start_stop(frames))
    truth = np.log([TRUTH["hazard_ratio"]["passive"], TRUTH["hazard_ratio"]["detractor"]])
    assert (np.abs(coefficient - truth) < 3 * error).all()
    assert (coefficient / error > 4).all()


def test_failed_payments_come_at_their_rate(large):
    customers = large["customers"]
    months = (customers["left_on"].fillna(AS_OF) - customers["joined_on"]).dt.days.sum() / MONTH
    failed = (customers["left_reason"] == "payment failed").sum()
    assert failed / months == pytest.approx(World.failed_payment, abs=3 * failed**0.5 / months)


def test_last_known_score_is_a_reward_for_staying():
    """Without any link, start-stop rows find none, and the curve from sign-up by last known score "finds" one."""
    frames = subscription(13, 16_000, link=False, **QUIET)
    coefficient, error = log_ratios(start_stop(frames))
    assert (np.abs(coefficient) < 3 * error).all()
    last = nps_answers(frames).sort_values("answered_at").groupby("customer_id").tail(1).copy()
    last["stop"] = (last["left_on"].fillna(AS_OF) - last["joined_on"]).dt.days
    last["event"] = chosen(last)
    coefficient, error = log_ratios(last.assign(start=0))
    assert coefficient[1] > 3 * error[1]


def test_drift_is_the_bait():
    frames = subscription(13, 6000, link=False, drift=0.0, **QUIET)
    answers = nps_answers(frames)
    tenure = (answers["asked_at"] - answers["joined_on"]).dt.days // 183
    by_plan = answers.groupby(["plan", tenure])["score"].agg(["mean", "sem"])
    change = by_plan.xs(5, level=1)["mean"] - by_plan.xs(0, level=1)["mean"]
    assert (change.abs() < 3 * by_plan.xs(5, level=1)["sem"] * 1.2).all()


def assert_mix_shift(answers):
    """Answers with plan, points and year: the last year against the first."""
    by_plan = answers.pivot_table(index="year", columns="plan", values="points")
    overall = answers.groupby("year")["points"].mean()
    assert (by_plan.loc[3] > by_plan.loc[0] + 2).all()
    assert overall[3] < overall[0] - 5
    basic = answers["plan"].eq(PLANS[0]).groupby(answers["year"]).mean()
    assert basic[3] > basic[0] + 0.25


def test_mix_shift_overall_falls_while_every_plan_rises(demo):
    answers = nps_answers(demo)
    assert_mix_shift(answers.assign(year=(answers["asked_at"] - pd.Timestamp("2022-07-01")).dt.days // 365.25))


def test_mix_shift_is_in_the_world_and_not_only_in_the_seed():
    path = simulate(7, 120_000, World())
    who, wave = np.nonzero(answered_questions(path, 7)[0])
    points = np.array([100, 0, -100])[band_of(path.score[who, wave + 1])]
    year, plan = path.asked[who, wave] // 365.25, np.array(PLANS)[path.plan[who]]
    assert_mix_shift(pd.DataFrame({"plan": plan, "points": points, "year": year}))


def test_scores_split_into_about_a_third_each(demo):
    points = nps_answers(demo)["points"]
    shares = points.value_counts(normalize=True)
    assert shares[-100] == pytest.approx(0.30, abs=0.03)
    assert shares[100] == pytest.approx(0.36, abs=0.03)


def test_those_about_to_leave_fall_silent(large):
    rows = nps_questions(large)
    rows = rows[rows["asked_at"] < AS_OF - pd.Timedelta(days=60)]
    leaving = (rows["left_on"] - rows["asked_at"].dt.floor("D")).dt.days <= 45
    rate = rows["score"].notna().groupby(leaving).mean()
    assert 0.42 < rate[False] < 0.48
    assert 0.30 < rate[True] / rate[False] < 0.42  # 0.4, and some leave before they would have answered


def test_harbour_falls_half_a_year_before_its_exits_rise(large):
    answers, customers = nps_answers(large), large["customers"]
    harbour = customers["region"] == "Harbour"
    assert harbour.mean() == pytest.approx(0.09, abs=0.01)

    def gap(start, stop):
        """NPS of Harbour less that of the others."""
        rows = answers[(answers["asked_at"] >= start) & (answers["asked_at"] < stop)]
        nps = rows.groupby(rows["region"] == "Harbour")["points"].mean()
        return nps[True] - nps[False]

    assert abs(gap("2024-07-01", "2025-07-01")) < 8
    assert gap("2025-07-01", "2025-10-01") < -45
    path, undropped = simulate(3, LARGE, World()), simulate(3, LARGE, World(harbour_drop=0.0))
    early = undropped.left <= HARBOUR_EXITS
    assert (path.left[early] == undropped.left[early]).all()
    assert (path.left <= undropped.left).all()
    assert (path.left[path.region != HARBOUR] == undropped.left[path.region != HARBOUR]).all()
    late = [((p.left > HARBOUR_EXITS) & (p.left < p.end) & (p.region == HARBOUR)).sum() for p in (path, undropped)]
    assert late[0] > 1.15 * late[1]


def test_contacts_and_satisfaction_follow_the_experience(demo):
    contacts = demo["contacts"]
    assert contacts["first_response_at"].isna().mean() == pytest.approx(0.02, abs=0.01)
    assert contacts["resolved_at"].isna().sum() > 5
    assert contacts["cost"].between(6, 14).all()
    assert contacts["agent"].nunique() == 12
    csat = demo["responses"].query("metric == 'csat'")
    assert csat["score"].notna().mean() == pytest.approx(0.30, abs=0.02)
    rated = csat.dropna(subset=["score"]).groupby("agent")["score"].mean()
    assert rated["Lena"] < rated["Ana"]  # the slowest and the quickest
    ces = demo["responses"].query("metric == 'ces'").groupby("customer_id")
    assert ces.size().eq(1).all()


# --- the truth, by other means ---------------------------------------------------------------------------------------


def test_truth_of_the_randomised_programme(large):
    arm = large["exposures"].query("initiative_id == 'I1'").set_index("customer_id")["arm"]
    customers = large["customers"].set_index("customer_id").loc[arm.index]
    gone = customers["left_on"] <= "2025-07-01"
    outcomes = {
        "net_margin": net_margin(large, "2024-07-01", "2025-07-01")[arm.index],
        "left_by_choice": gone & chosen(customers),
        "left": gone,
    }
    for name, outcome in outcomes.items():
        by_arm = outcome.astype(float).groupby(arm).agg(["mean", "sem"])
        difference = by_arm.loc["treated", "mean"] - by_arm.loc["control", "mean"]
        assert abs(difference - TRUTH["welcome_calls"][name]["value"]) < 3 * np.hypot(*by_arm["sem"]), name


def test_truth_of_the_roll_out(large):
    without = subscription(3, LARGE, managers_effect=1.0, as_of="2025-12-31")
    customers = large["customers"]
    panel = (customers["joined_on"] <= "2025-01-01") & ~(customers["left_on"] <= "2025-01-01")
    starts = large["exposures"].query("initiative_id == 'I2'").merge(customers, on="customer_id")
    starts = starts.groupby("branch")["exposed_on"].first()
    gains = []
    for start in starts.unique():
        who = customers.loc[panel & customers["branch"].isin(starts.index[starts == start]), "customer_id"]
        window = start, start + pd.DateOffset(months=6)
        gains.append(net_margin(large, *window)[who] - net_margin(without, *window)[who])
        assert gains[-1].mean() == pytest.approx(3.3, abs=1.0)
    gains = pd.concat(gains)
    assert abs(gains.mean() - TRUTH["account_managers"]["value"]) < 3 * gains.sem()


def test_truth_of_the_value_gap_is_what_the_cut_data_tend_to(large):
    """Kaplan-Meier from the answer on, counted here by hand: within sampling error of the truth."""
    answers, customers = nps_answers(large), large["customers"]
    days = (answers["left_on"].fillna(AS_OF) - answers["answered_at"].dt.floor("D")).dt.days.to_numpy()
    event, at = answers["left_on"].notna().to_numpy(), np.floor(np.arange(24) * MONTH).astype(int)
    active = customers[customers["left_on"].isna()]
    gap = 0.0
    for plan in PLANS:
        stays = {}
        for band, rows in answers.groupby("points"):
            rows = answers.index.isin(rows.index) & (answers["plan"] == plan).to_numpy()
            ended, left = (np.bincount(days[which], minlength=1600) for which in (rows, rows & event))
            survival = np.cumprod(1 - left / np.maximum(np.cumsum(ended[::-1])[::-1], 1))[at]
            stays[band] = survival
            name = {100: "promoter", 0: "passive", -100: "detractor"}[band]
            true = np.array(TRUTH["value_gap"]["survival"][plan][name][:24])
            assert np.abs(survival - true).max() < 0.04, (plan, name)
        of_plan = active[active["plan"] == plan]
        months = ((stays[100] - stays[-100]) * 1.10 ** (-np.arange(24) / 12)).sum()
        gap += len(of_plan) / len(active) * of_plan["monthly_revenue"].mean() * 0.75 * months
        assert len(of_plan) / len(active) == pytest.approx(TRUTH["value_gap"]["active_share"][plan], abs=0.01)
        assert of_plan["monthly_revenue"].mean() == pytest.approx(TRUTH["value_gap"]["monthly_revenue"][plan], rel=0.02)
    one_company_of_6000 = 9.5  # spread between companies, measured over sixty
    assert abs(gap - TRUTH["value_gap"]["value"]) < 3 * one_company_of_6000 * (6000 / LARGE) ** 0.5
    assert TRUTH["value_gap"]["se"] < one_company_of_6000 / 20
    assert (
        abs(TRUTH["value_gap"]["kaplan_meier_cut_at_as_of"] - TRUTH["value_gap"]["value"]) < 0.15 * one_company_of_6000
    )


def test_truth_belongs_to_the_worlds_in_the_code():
    assert TRUTH["world"] == json.loads(json.dumps(dataclasses.asdict(World())))
    assert SHOP_TRUTH["world"] == dataclasses.asdict(Shop())


def test_committed_truth_of_the_shop_is_what_the_code_gives():
    assert json.loads(json.dumps(shop_truth())) == SHOP_TRUTH


def test_shop_customers_buy_as_often_and_as_much_as_the_model_says():
    weeks, made = 26, Shop()
    bought = purchases(21, 40_000, made)
    first = pd.Series(bought.at[bought.number == 0], bought.customer[bought.number == 0])
    since = (bought.at - first[bought.customer].to_numpy()) / np.timedelta64(7, "D")
    followed = (bought.end - first).dt.days / 7 >= weeks
    within = pd.Series(bought.customer[(bought.number > 0) & (since <= weeks)]).value_counts()
    repeats = within.reindex(first.index[followed], fill_value=0)
    assert abs(repeats.mean() - SHOP_TRUTH["expected_purchases"]["26"]) < 3 * repeats.sem()
    spend = pd.Series(bought.revenue[bought.number == 0])  # one each: not the heavy buyers over again
    assert abs(spend.mean() - SHOP_TRUTH["mean_spend"]) < 3 * spend.sem()
    ahead = SHOP_TRUTH["next_26_weeks"]
    assert abs(ahead["realised"] - ahead["expected"]) < 0.12 * ahead["expected"]


def test_shop_scores_know_who_will_stay_away():
    def correlation(**world):
        answers = shop(22, 4000, **world)["responses"].query("metric == 'nps'").dropna(subset=["score"])
        leaving = purchases(22, 4000, Shop(**world)).leaving
        return np.corrcoef(answers["score"], leaving[answers["customer_id"].str[1:].astype(int) - 1])[0, 1], len(
            answers
        )

    assert correlation()[0] < -0.4
    unlinked, answers = correlation(link=False)
    assert abs(unlinked) < 0.15
    assert answers > 1000
