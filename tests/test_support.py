"""Support times, returns and their link to scores: by hand, by brute force, and on a company whose truth is known."""

from __future__ import annotations

import math
from pathlib import Path

import net
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from cxlib.counts import cases
from cxlib.demo.subscription import AGENT_PACE
from cxlib.errors import Unanswered
from cxlib.intake.company import Company
from cxlib.page import charts
from cxlib.scores import support

EXPORTS = Path(__file__).resolve().parents[2] / "shared" / "data"
exports = pytest.mark.skipif(not EXPORTS.exists(), reason="the exports of the companies are not beside the project")
SETTINGS = {
    "name": "Desk",
    "as_of": "2024-06-30",
    "relationship": "contractual",
    "currency": "EUR",
    "metrics": {"csat": {"scale": [1, 5], "good": "high"}, "nps": {"scale": [0, 10]}},
    "segments": ["plan"],
    "privacy": {"minimum_base": 1},
    "draws": 40,
}


def stamps(values):
    return pd.to_datetime(pd.Series(list(values), dtype="object"), format="ISO8601")


def figures(finding):
    return {f.name: f.estimate for f in finding.figures}


def holds(estimate, truth):
    return estimate.low <= truth <= estimate.high


# ---- counted by hand -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk():
    customers = pd.DataFrame(
        {
            "customer_id": list("abcd"),
            "joined_on": stamps(["2024-01-01"] * 4),
            "left_on": stamps([None, None, "2024-06-10", None]),
            "plan": ["p", "p", "q", "q"],
        }
    )
    lines = [
        ("k1", "a", "2024-06-01 09:00", "2024-06-01 09:30", "2024-06-02 09:00", "2024-06-04 09:00", "x"),
        ("k2", "a", "2024-06-05 09:00", None, "2024-06-07 09:00", None, "y"),
        ("k3", "b", "2024-06-29 12:00", None, None, None, "x"),
        ("k4", "b", "2024-06-20 10:00", "2024-06-20 17:03", None, None, "x"),
        ("k5", "c", "2024-06-09 10:00", "2024-06-09 10:00:20", "2024-06-09 12:00", None, "x"),
        ("k6", "c", "2024-06-12 10:00", "2024-06-12 11:00", "2024-06-12 12:00", None, "x"),  # c has left
    ]
    contacts = pd.DataFrame(lines, columns=["contact_id", "customer_id", *cases_dates(), "topic"])
    asked = [
        ("r1", "a", "2024-06-02 10:00", 4, None),
        ("r2", "a", "2024-06-07 10:00", 2, None),
        ("r3", "b", "2024-06-29", 5, None),  # dated by the day
        ("r4", "c", "2024-06-20 10:00", 3, "k5"),
        ("r5", "d", "2024-06-20 10:00", 1, None),
    ]
    responses = pd.DataFrame(asked, columns=["response_id", "customer_id", "asked_at", "score", "contact_id"])
    responses = responses.assign(metric="csat", asked_at=stamps(responses["asked_at"]))
    return make(customers, contacts, responses)


def cases_dates():
    return ["opened_at", "first_response_at", "resolved_at", "reopened_at"]


def make(customers, contacts, responses=None, **changed):
    contacts = contacts.assign(
        **{c: stamps(contacts[c]).set_axis(contacts.index) for c in cases_dates() if c in contacts}
    )
    frames = {"customers": customers, "contacts": contacts} | ({} if responses is None else {"responses": responses})
    return Company.from_frames(SETTINGS | changed, frames)


def as_set(frame, *columns):
    assert (frame["n"] > 0).all()
    return sorted(key for *key, n in frame[[*columns, "n"]].itertuples(index=False, name=None) for _ in range(int(n)))


def test_first_replies_by_hand_closed_without_one_and_still_open(desk):
    assert as_set(cases.waits(desk, cases.RESPONSE), "minutes", "cause") == [
        [1, "answered"],  # k5: twenty seconds, rounded up
        [30, "answered"],
        [60, "answered"],
        [425, "answered"],  # k4: 423 minutes, to the next 5
        [2160, ""],  # k3: until the end of 30 June
        [2880, "closed without a reply"],
    ]


def test_resolutions_by_hand_and_closed_by_the_clock(desk):
    found = cases.waits(desk, cases.RESOLUTION, clock=[(47.5, 48.5)])
    assert as_set(found, "minutes", "cause") == [
        [120, "closed"],
        [120, "closed"],
        [1440, "closed"],
        [2160, ""],
        [2880, "closed by the clock"],
        [15480, ""],  # k4: 254 hours, to the next 6
    ]


def test_coming_back_by_hand(desk):
    def days(*arguments, **more):
        return as_set(cases.returns(desk, *arguments, **more), "duration", "event")

    # k1 reopened on day 2, k2 not until the as-of date, k5 followed until c left, k6 opened after that
    assert days("closed") == days("closed", cases.REOPENED) == [[2, 0], [2, 1], [24, 0]]
    assert days("closed", cases.SAME_TOPIC, longest=14) == [[2, 0], [2, 1], [14, 0]]
    assert days("closed", clock=[(47.5, 48.5)]) == [[1, 1], [2, 0], [2, 1]]  # k2: closed by the clock, never answered
    assert days("opened") == [[2, 0], [2, 0], [4, 1], [10, 1], [26, 0]]
    assert days("opened", longest=9) == [[2, 0], [2, 0], [4, 1], [9, 0], [9, 0]]


def test_contacts_by_days_as_a_customer(desk):
    found = cases.contact_rates(desk, pd.Timestamp("2023-12-31").date(), ["plan"])
    sums = found.groupby("plan")[["customers", "days", "contacts", "outside"]].sum()
    assert sums.loc["p"].tolist() == [2, 2 * 182, 4, 0]
    assert sums.loc["q"].tolist() == [2, 182 + 162, 1, 1]


def test_the_case_behind_an_answer_and_what_went_before_it(desk):
    tables = {days: cases.behind_answers(desk, "csat", days) for days in (2, 7)}

    def levels(measure, days=7):
        return as_set(tables[days][tables[days]["measure"] == measure], "score", "level", "known")

    # r2's case had no reply after 49 hours; r3 was asked at the end of its day; r4 names a case that is not the latest
    assert levels(cases.RESPONSE) == [[2, 2940, 0], [3, 1, 1], [4, 30, 1], [5, 720, 0]]
    assert levels(cases.RESOLUTION) == [[2, 2880, 1], [3, 120, 1], [4, 1440, 1], [5, 720, 0]]
    assert levels(cases.RETURNED) == [[2, 1, 1], [3, 1, 1], [4, 0, 1], [5, 0, 1]]
    assert levels(cases.RETURNED, 2) == [[2, 0, 1], [3, 0, 1], [4, 0, 1], [5, 0, 1]]
    assert levels(cases.CONTACTS) == [[1, 0, 1], [2, 2, 1], [3, 2, 1], [4, 1, 1], [5, 2, 1]]


def test_a_reply_dated_by_the_day_is_at_once_and_an_early_reopening_is_counted():
    customers = pd.DataFrame({"customer_id": ["a", "b"], "joined_on": stamps(["2024-01-01"] * 2), "plan": ["p", "p"]})
    lines = [
        ("k1", "a", "2024-06-01 09:00", "2024-06-01", "2024-06-05 09:00", "2024-06-03 09:00"),
        ("k2", "b", "2024-06-01 09:00", "2024-06-01 10:00", "2024-06-10 23:00", None),
    ]
    company = make(customers, pd.DataFrame(lines, columns=["contact_id", "customer_id", *cases_dates()]))
    assert as_set(cases.waits(company, cases.RESPONSE), "minutes", "cause") == [[1, "answered"], [60, "answered"]]
    odd = cases.customers(company).iloc[0]
    assert (odd["backwards"], odd["reopened_early"]) == (1, 1)
    assert as_set(cases.returns(company, "closed"), "duration", "event") == [[1, 1], [21, 0]]
    said = support.times(company)
    assert (said.facts["backwards"], said.facts["early"], support.first_contact(company).facts["early"]) == (1, 1, 1)
    assert "1 case was answered or closed before the opening" in " ".join(said.caveats)


# ---- by brute force, and nothing of the future -----------------------------------------------------------


def tables(seed=5, customers=60, n=300):
    rng = np.random.default_rng(seed)
    ids = np.array([f"c{i}" for i in range(customers)])
    start = pd.Timestamp("2024-01-01")
    after = lambda base, days: base + pd.to_timedelta(np.round(days * 86_400), unit="s")  # noqa: E731
    left = pd.Series(after(start, rng.uniform(60, 400, customers))).dt.normalize()
    people = pd.DataFrame(
        {"customer_id": ids, "joined_on": start, "left_on": left, "plan": rng.choice(["p", "q"], customers)}
    )
    opened = pd.Series(after(start, rng.uniform(0, 200, n)))
    contacts = pd.DataFrame(
        {"contact_id": [f"k{i}" for i in range(n)], "customer_id": rng.choice(ids, n), "opened_at": opened}
    )
    replied, solved = (
        opened + pd.to_timedelta(rng.exponential(9, n), "h"),
        opened + pd.to_timedelta(9 + rng.exponential(90, n), "h"),
    )
    contacts["first_response_at"] = replied.where((rng.random(n) < 0.9) & (replied < solved)).dt.round("s")
    contacts["resolved_at"] = solved.where(rng.random(n) < 0.9).dt.round("s")
    contacts["reopened_at"] = (contacts["resolved_at"] + pd.to_timedelta(rng.exponential(5, n), "D")).where(
        rng.random(n) < 0.2
    )
    contacts["reopened_at"] = contacts["reopened_at"].dt.round("s")
    contacts["topic"] = rng.choice(["x", "y", None], n)
    asked = pd.Series(after(start, rng.uniform(30, 180, n)))
    answers = {"response_id": [f"r{i}" for i in range(n)], "customer_id": rng.choice(ids, n), "metric": "csat",
               "asked_at": asked, "score": rng.integers(1, 6, n)}  # fmt: skip
    return people, contacts, pd.DataFrame(answers)


@pytest.fixture(scope="module")
def random_tables():
    return tables()


@pytest.fixture(scope="module")
def random_company(random_tables):
    return make(*random_tables, as_of="2024-07-20")


def as_known(contacts, end):
    known = contacts[contacts["opened_at"] < end].copy()
    for column in ("first_response_at", "resolved_at", "reopened_at"):
        known[column] = known[column].where(known[column] < end)
    return known


@pytest.mark.parametrize("definition", [cases.REOPENED, cases.SAME_TOPIC, cases.ANY])
def test_coming_back_by_brute_force(random_tables, random_company, definition):
    people, contacts, _ = random_tables
    end, expected = pd.Timestamp("2024-07-21"), []
    contacts, gone = as_known(contacts, end), people.set_index("customer_id")["left_on"]
    for c in contacts[contacts["resolved_at"].notna()].itertuples():
        last = min(gone[c.customer_id] + pd.Timedelta(days=1), end)
        later = contacts[(contacts["customer_id"] == c.customer_id) & (contacts["opened_at"] > c.resolved_at)]
        later = later[later["contact_id"] != c.contact_id]
        if definition == cases.SAME_TOPIC:
            later = later[later["topic"] == c.topic] if c.topic else later.iloc[:0]
        back = [] if definition == cases.REOPENED else list(later["opened_at"])
        back = [b for b in [*back, c.reopened_at] if pd.notna(b) and b <= last]
        if last > c.resolved_at:
            days = max(math.ceil((min([*back, last]) - c.resolved_at) / pd.Timedelta(days=1)), 1)
            expected.append([min(days, 30), int(bool(back) and days <= 30)])
    assert as_set(cases.returns(random_company, "closed", definition), "duration", "event") == sorted(expected)
    assert sum(e for _, e in expected) > 20


def test_nothing_after_the_as_of_date_is_used(random_tables):
    people, contacts, answers = random_tables
    end = pd.Timestamp("2024-04-16")
    rewritten = as_known(contacts, end)
    before = make(*random_tables, as_of="2024-04-15")
    after = make(people.assign(left_on=people["left_on"].where(people["left_on"] < end)), rewritten,
                 answers[answers["asked_at"] < end], as_of="2024-04-15")  # fmt: skip
    reads = [
        lambda c: cases.waits(c, cases.RESPONSE, ["topic"]), lambda c: cases.waits(c, cases.RESOLUTION),
        lambda c: cases.returns(c, "closed"), lambda c: cases.behind_answers(c, "csat"),
    ]  # fmt: skip
    for read in reads:
        pd.testing.assert_frame_equal(read(before), read(after))


def test_an_answer_knows_nothing_that_came_after_its_question(random_tables, random_company):
    people, contacts, answers = random_tables
    asked = answers.sort_values("asked_at")["asked_at"].iloc[150].normalize() + pd.Timedelta(hours=12)
    some = answers[answers["asked_at"] < asked]
    full, cut = (
        make(people, contacts, some, as_of="2024-07-20"),
        make(people, as_known(contacts, asked), some, as_of="2024-07-20"),
    )
    known, seen = (cases.behind_answers(c, "csat") for c in (full, cut))
    assert set(known["measure"]) == set(support.MEASURES)
    pd.testing.assert_frame_equal(known, seen)


def test_quarters_of_the_waits_are_named_by_their_ends_in_hours():
    counted = pd.DataFrame({"level": [60, 120, 600, 1440], "known": 1, "n": [100, 100, 100, 100]})
    assert list(support._levels(counted, cases.RESPONSE, 30)) == [
        "up to 1 hours", "1 to 2 hours", "2 to 10 hours", "10 to 24 hours"
    ]  # fmt: skip


def test_levels_of_a_cut_add_up_to_the_whole(random_company):
    for read in (
        lambda by: cases.waits(random_company, cases.RESOLUTION, by),
        lambda by: cases.returns(random_company, "closed", by=by),
    ):
        assert read(["topic"])["n"].sum() == read(["plan"])["n"].sum() == read([])["n"].sum()


# ---- what it says ----------------------------------------------------------------------------------------


def plain(n=400, as_of="2024-06-30"):
    """Cases of some hours, one a customer, in the months before ``as_of``; of the last 50 days every third takes 60."""
    opened = pd.date_range(pd.Timestamp(as_of) - pd.Timedelta(days=300), as_of, periods=n).round("s")
    slow = (np.arange(n) % 3 == 0) & (opened > pd.Timestamp(as_of) - pd.Timedelta(days=50))
    solved = opened + pd.to_timedelta(np.where(slow, 60 * 24, 1 + np.arange(n) % 7), "h")
    ids = [f"c{i}" for i in range(n)]
    people = pd.DataFrame({"customer_id": ids, "joined_on": pd.Timestamp("2020-01-01"), "plan": "p"})
    return people, pd.DataFrame({"contact_id": ids, "customer_id": ids, "opened_at": opened, "resolved_at": solved})


def test_open_cases_lengthen_the_times_that_closed_ones_alone_would_give():
    people, contacts = plain()
    found = support.times(make(people, contacts), window_months=1)
    closed = contacts[(contacts["resolved_at"] < "2024-07-01") & (contacts["opened_at"] >= "2024-05-31")]
    naive = (closed["resolved_at"] - closed["opened_at"]).dt.total_seconds() / 3600
    assert figures(found)["resolution-median"].value > naive.median()
    assert figures(found)["resolution-75th-percentile"].value > 24 > naive.max()
    still = contacts[(contacts["opened_at"] >= "2024-05-31") & (contacts["resolved_at"] >= "2024-07-01")]
    assert found.facts["still_open"] == len(still) > 0
    assert found.facts["opened"] == len(closed) + len(still)
    assert found.facts["missing"] == ["first_response_at"]
    (usual,) = found.facts["usual"]
    assert not usual["replied"]
    assert usual["mean"] == pytest.approx(naive.mean())
    assert usual["median"] == pytest.approx(naive.median(), abs=1)


def test_a_percentile_that_is_not_reached_says_so():
    people, contacts = plain()
    contacts["resolved_at"] = contacts["resolved_at"].where(np.arange(len(contacts)) % 4 == 0)
    found = support.times(make(people, contacts))
    assert found.facts["reached"] == [{"replied": False, "median": None}]
    assert "not reached" in found.headline
    median = next(f for f in found.figures if f.name == "resolution-median")
    assert math.isinf(median.estimate.value)
    assert median.row()["value"] is None
    assert "not reached" in median.note


def test_a_job_that_closes_once_a_day_is_found_by_the_day():
    people, contacts = plain(900)
    rng = np.random.default_rng(2)
    hours = np.where(rng.random(900) < 0.1, rng.uniform(14 * 24, 15 * 24 - 1, 900), rng.exponential(120, 900))
    contacts["resolved_at"] = contacts["opened_at"] + pd.to_timedelta(np.round(hours * 3600), "s")
    found = support.closed_by_clock(make(people, contacts))
    assert found.facts["ages"] == ["14 to 15 days"]
    assert found.facts["silent"] is None  # without dates of replies nobody knows
    assert found.facts["hits"] == pytest.approx(found.facts["of_all"].value * found.facts["closed"])
    last = found.table[found.table["statistic"] == "90th percentile"]["value"].tolist()
    assert [found.facts["counted_as_solved"], found.facts["not_counted"]] == last
    assert set(found.table["cases"]) == {"all closings", "closed by a person"}


def test_small_levels_are_not_shown_and_nobody_is_ranked():
    people, contacts = plain()
    contacts["agent"] = np.where(np.arange(400) < 20, "Zoe", np.where(np.arange(400) % 2, "Ann", "Bob"))
    contacts.loc[20:39, "agent"] = "Yan"
    found = support.by_team(make(people, contacts, privacy={"minimum_base": 30}), "agent")
    assert found.table["level"].tolist() == ["Ann", "Bob"]
    assert not any(name in " ".join(found.texts) for name in ("Ann", "Bob", "Zoe", "Yan"))
    assert found.facts["unseen"] == 2
    (medians,) = found.facts["medians"]
    assert [medians["shortest"], medians["longest"]] == sorted(found.table["value"])
    assert (found.name, found.columns["level"][0]) == ("support-by-agent", "Agent")


def test_without_cases_or_columns_each_question_gives_its_reason():
    people, contacts = plain(40)
    bare = Company.from_frames(SETTINGS, {"customers": people})
    undated = make(people, contacts[["contact_id", "customer_id", "opened_at"]])
    few = make(people, contacts, privacy={"minimum_base": 100})
    for company, reason, why in (
        (bare, "no-table", "no contacts table"),
        (undated, "no-times-of-cases", "contacts has n"),
        (few, "few-cases", "fewer than 100 customers"),
    ):
        with pytest.raises(Unanswered, match=reason):
            support.require(company)
        asked = [support.times, support.curve, support.closed_by_clock, support.first_contact, support.by_team]
        for finding in [*(question(company) for question in asked), support.repeat_contacts(company)]:
            assert not finding.answered
            assert why in finding.headline or "contacts has no" in finding.headline
        assert not support.against(company, "csat").answered


# ---- companies -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def telecom():
    return net.opened("demo")


@pytest.fixture(scope="module")
def telecom_times(telecom):
    return support.times(telecom, window_months=60)


def test_times_to_first_reply_of_the_demo_are_those_of_its_law(telecom_times):
    """Four hours times a lognormal times the pace of the agent, chosen evenly; 2 % are never answered."""

    def answered(hours):
        return 0.98 * stats.norm.cdf(np.log(hours / 4 / AGENT_PACE)).mean()

    for name, share in support.PERCENTILES.items():
        truth = optimize.brentq(lambda h, p=share: answered(h) - p, 0.01, 1000)
        assert holds(figures(telecom_times)[f"first-response-{name.replace(' ', '-')}"], math.ceil(truth * 12) / 12), (
            name
        )
    assert holds(figures(telecom_times)["first-response-within-24-h"], answered(24))


def test_times_to_resolution_of_the_demo_are_those_of_its_law(telecom_times):
    """The wait plus a day times a lognormal of 1.1; 2 % are closed by the system after thirty days, a competing end."""
    rng = np.random.default_rng(1)
    z = rng.standard_normal((2, 2_000_000))
    hours = 4 * np.exp(z[0]) * rng.choice(AGENT_PACE, z.shape[1]) + 24 * np.exp(1.1 * z[1])
    for name, share in support.PERCENTILES.items():
        truth = np.quantile(hours, share / 0.98)
        assert holds(figures(telecom_times)[f"resolution-{name.replace(' ', '-')}"], math.ceil(truth)), name
    assert holds(figures(telecom_times)["resolution-within-72-h"], 0.98 * (hours <= 72).mean())


def test_the_system_of_the_demo_closes_one_case_in_fifty_after_thirty_days(telecom):
    found = support.closed_by_clock(telecom)
    assert holds(figures(found)["closed-by-clock"], 0.02)
    assert found.facts["ages"] == ["30 days"]
    assert (found.facts["hits"], found.facts["silent"]) == (216, 216)
    assert found.facts["times"] == pytest.approx(216)
    assert support.times(telecom).facts["by_person"]


def test_reopening_in_the_demo_is_its_law_and_wider_definitions_solve_less(telecom):
    """7 % of cases with a reply are reopened, evenly over ten days; those the clock closed are not solved."""
    found = support.first_contact(telecom)
    rows = found.table.set_index(["definition", "days"])
    for days in (1, 3, 7, 14, 30):
        low, high = rows.loc[(cases.REOPENED, days), ["low", "high"]]
        assert low <= 0.98 * (1 - 0.07 * min(days / 10, 1)) <= high
        values = [rows.loc[(d, days), "value"] for d in (cases.REOPENED, cases.SAME_TOPIC, cases.ANY)]
        assert values[0] >= values[1] - 0.002 >= values[2] - 0.004  # followed alike, so up to censoring
    assert figures(found)["first-contact"].value == rows.loc[(cases.ANY, 7), "value"]
    assert (found.facts["lowest"], found.facts["highest"]) == (rows["value"].min(), rows["value"].max())
    assert (found.facts["silent"], found.facts["unseen"], found.facts["early"]) == (216, 17, 0)


def test_repeat_contacts_of_the_demo_and_its_rate(telecom):
    found = support.repeat_contacts(telecom)
    frame = telecom.frame("contacts")
    recent = frame[frame["opened_at"] > "2025-07-01"]
    whole = found.table.iloc[0]
    assert whole["rate"] == pytest.approx(len(recent) / whole["customer_years"], rel=0.01)
    assert found.table["n"].min() >= telecom.settings.privacy.minimum_base
    plans = found.table[found.table["segment"] == "plan"]
    assert plans["customer_years"].sum() == pytest.approx(whole["customer_years"])
    assert (found.facts["repeated"].value, found.facts["rate"].value) == (whole["value"], whole["rate"])
    assert found.facts["outside"] == 0


def test_longer_waits_are_linked_to_lower_csat_in_the_demo(telecom):
    found = support.against(telecom, "csat")
    assert found.headline.startswith("A longer wait for the first reply is linked to lower CSAT")
    assert found.known == "observed"
    first, *_, last = found.facts["found"]
    assert (first["linked"], first["lower"]) == (True, True)
    assert first["correlation"] == figures(found)["csat-first-response-correlation"]
    assert (last["measure"], last["linked"], last["unconfirmed"]) == ("return or reopening", False, True)
    asked = telecom.frame("responses").query("metric == 'csat'")
    assert (found.facts["asked"], found.facts["missing"]) == (len(asked), pytest.approx(asked["score"].isna().mean()))
    waits = found.table[found.table["measure"] == "wait for the first reply"]
    assert waits["value"].is_monotonic_decreasing
    assert (found.table["n"] >= telecom.settings.privacy.minimum_base).all()


def test_without_a_link_none_is_detected(random_company):
    found = support.against(random_company, "csat")
    assert not any(one["linked"] for one in found.facts["found"])
    assert found.headline.startswith("No clear link")
    assert len(found.figures) == found.facts["compared"] == 4
    assert all(holds(e, 0) for e in figures(found).values())
    assert found.facts["detectable"] == pytest.approx(2.8 * max(e.se for e in figures(found).values()))
    assert "no NPS question" in support.against(random_company, "nps").headline


def test_the_curve_falls_and_can_be_drawn(telecom):
    found = support.curve(telecom)
    for _, part in found.table.groupby("group"):
        assert part["value"].iloc[0] == 1
        assert part["value"].is_monotonic_decreasing
        assert part["at_risk"].is_monotonic_decreasing
        assert (part["low"] <= part["value"]).all()
        assert (part["value"] <= part["high"]).all()
    drawn = charts.curves(
        found.table, found.title, group="group", x="hours", x_label="hours", y_label="still waiting (%)"
    )
    assert drawn.axes
    day = found.table[found.table["hours"] == 24].set_index("group")["value"]
    assert [w["share"] for w in found.facts["waiting"]] == day.loc[list(support.WAITING.values())].tolist()
    charts.plt.close(drawn)
    one = support.curve(telecom, "resolution").table
    pd.testing.assert_frame_equal(one, found.table[found.table["group"] == one["group"][0]].reset_index(drop=True))


@exports
def test_software_company_finds_no_link_of_response_times_to_csat_and_no_clock():
    company = net.opened(net.COMPANIES["ravenstack"])
    found = support.against(company, "csat")
    assert not any(one["linked"] for one in found.facts["found"])
    assert (found.facts["asked"], round(found.facts["missing"], 2)) == (928, 0.4)
    assert support.closed_by_clock(company).facts["ages"] == []
    assert support.times(company).facts["still_open"] == 0
    assert "No case is open" in " ".join(support.times(company).caveats)
    assert not support.by_team(company, "agent").answered
    assert support.by_team(company, "topic").answered


@exports
def test_marketplace_has_no_cases_and_says_so():
    company = net.opened(net.COMPANIES["olist"])
    for finding in (support.times(company), support.first_contact(company), support.against(company, "csat")):
        assert finding.headline == "Not answered: no contacts table."
