"""Which programme next, against sums customer by customer; the cost of a failure, against a world where it is known."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from surveys import figures
from test_forecast import MONEY

from cxlib import demo
from cxlib.counts import planned_reach
from cxlib.counts.people import STAGE
from cxlib.errors import InputError
from cxlib.intake.company import Company
from cxlib.roi import priorities
from cxlib.roi.priorities import Candidate
from cxlib.stats import draws
from cxlib.stats.estimate import Estimate

pytestmark = pytest.mark.filterwarnings("error")
DRAWS = 60
END = pd.Timestamp("2025-12-31")


@pytest.fixture(scope="module")
def frames():
    return demo.subscription(5, 2500)


@pytest.fixture(scope="module")
def world(frames):
    return Company.from_frames(demo.settings("demo", draws=DRAWS), frames)


def gains(value, spread=0.0, seed=1):
    return np.r_[value, value + spread * np.random.default_rng(seed).standard_normal(DRAWS)]


def candidate(name, cost, gain, customers, scenario=False, known="comparison", **more):
    return Candidate(name, name, cost, gains(gain, 0.2 * abs(gain)), customers, known, scenario, **more)


def reached_by(**members):
    """A company whose programmes reached these numbers of customers (a range of places in the base)."""
    ids = [f"c{i:04d}" for i in range(400)]
    customers = pd.DataFrame(
        {"customer_id": ids, "joined_on": pd.Timestamp("2024-01-01"), "left_on": pd.NaT, "plan": "A"}
    )
    customers["left_on"] = customers["left_on"].astype("datetime64[ns]")
    initiatives = pd.DataFrame(
        {
            "initiative_id": list(members),
            "name": list(members),
            "started_on": pd.Timestamp("2025-01-01"),
            "cost_upfront": 1.0,
        }
    )
    parts = [
        pd.DataFrame(
            {"initiative_id": k, "customer_id": [ids[i] for i in who], "exposed_on": pd.Timestamp("2025-01-02")}
        )
        for k, who in members.items()
    ]
    own = {"name": "T", "as_of": "2025-12-31", "relationship": "contractual", "currency": "EUR", "draws": DRAWS,
           "segments": ["plan"], "metrics": {"nps": {"scale": [0, 10]}}, "money": MONEY}  # fmt: skip
    frames = {"customers": customers, "initiatives": initiatives, "exposures": pd.concat(parts)}
    return Company.from_frames(own, frames)


def rows(finding):
    return finding.table.set_index("initiative")


# ---- whom programmes reached -------------------------------------------------------------------------------------


def test_customers_are_counted_by_the_programmes_that_reached_them(world, frames):
    treated = frames["exposures"].query("arm != 'control'")
    by_hand = treated.groupby("customer_id")["initiative_id"].agg(lambda ids: tuple(sorted(set(ids)))).value_counts()
    found = planned_reach.patterns(world).set_index(planned_reach.REACHED)[planned_reach.CUSTOMERS]
    assert found.to_dict() == by_hand.to_dict()
    assert found.is_monotonic_decreasing


# ---- which one next ----------------------------------------------------------------------------------------------


def test_customers_of_both_bring_what_the_better_one_brings():
    company = reached_by(A=range(200), B=range(100, 300))
    found = priorities.ranked(company, [candidate("A", 500, 10, 200), candidate("B", 800, 6, 200)])
    shown = rows(found)
    assert shown["value"].to_dict() == pytest.approx({"A": 1500, "B": 400})
    assert shown["per_cost"].to_dict() == pytest.approx({"A": 3, "B": 0.5})
    assert shown["shared"].to_dict() == {"A": 0, "B": 100}
    # B would bring 6 from 100 customers only, less than its cost
    assert shown["once"].to_dict() == pytest.approx({"A": 1500, "B": -200})
    assert shown["chosen"].to_dict() == {"A": "yes", "B": "no"}
    total = figures(found)["priorities-npv"]  # of the half that did not choose
    assert total.low < 1500 < total.high
    assert total.value != pytest.approx(1500, rel=1e-6)
    apart = rows(priorities.ranked(reached_by(A=range(200), B=range(200, 400)),
                                   [candidate("A", 500, 10, 200), candidate("B", 800, 6, 200)]))  # fmt: skip
    assert apart["once"].to_dict() == pytest.approx({"A": 1500, "B": 400})
    assert set(apart["chosen"]) == {"yes"}


def test_the_best_set_need_not_start_with_the_best_for_its_cost():
    company = reached_by(A=range(100), B=range(100, 250), C=range(250, 400))
    several = [candidate("A", 100, 3, 100), candidate("B", 300, 5, 150), candidate("C", 300, 5, 150)]
    found = rows(priorities.ranked(company, several, budget=600))
    assert found.index[0] == "A"  # 2 for each unit of cost, the others 1.5
    assert found["chosen"].to_dict() == {"A": "no", "B": "yes", "C": "yes"}


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_no_other_set_within_the_budget_brings_more(data):
    inside = np.array(data.draw(st.lists(st.tuples(*[st.booleans()] * 4), min_size=1, max_size=12)), dtype=bool)
    sizes = np.array(data.draw(st.lists(st.integers(1, 50), min_size=len(inside), max_size=len(inside))), dtype=float)
    gain = np.array(data.draw(st.lists(st.floats(-5, 20), min_size=4, max_size=4)))
    cost = np.array(data.draw(st.lists(st.floats(1, 500), min_size=4, max_size=4)))
    budget = data.draw(st.floats(1, 1500))
    worth = priorities._Once(inside, sizes, gain[:, None], cost)

    def one_by_one(chosen):
        """Add up customer by customer."""
        total = -cost[list(chosen)].sum()
        for who, n in zip(inside, sizes, strict=True):
            mine = [gain[i] for i in chosen if who[i]]
            total += n * max(mine) if mine else 0
        return total

    sets = [s for k in range(5) for s in combinations(range(4), k)]
    for s in sets:
        assert worth.observed(list(s)) == pytest.approx(one_by_one(s), abs=1e-6)
    best = worth.best(budget)
    assert cost[best].sum() <= budget
    assert worth.observed(best) == pytest.approx(
        max(one_by_one(s) for s in sets if cost[list(s)].sum() <= budget), abs=1e-6
    )


def test_what_is_added_in_the_budget_is_the_worth_of_the_set(world):
    several = [
        Candidate("Welcome calls", "I1", 1500.0, gains(15, 4), 300, "randomised"),
        Candidate("Managers", "I2", 3000.0, gains(12, 4, 2), 700, "comparison"),
        Candidate("App", "I3", 400.0, gains(5, 1, 3), 1400, "adjusted"),
    ]
    found = priorities.ranked(world, several)
    shown = rows(found)
    total = figures(found)["priorities-npv"]
    once, alone = (shown.loc[shown["chosen"] == "yes", c].sum() for c in ("once", "value"))
    assert once < alone  # added up they would be more
    assert total.low < once < total.high  # that of the set, but for luck
    assert total.low < total.value < total.high
    facts = found.facts
    assert facts["overlap"]
    assert facts["added_up"] == pytest.approx(shown["value"].sum())
    assert facts["together"] < facts["added_up"]
    assert any("added up" in c for c in found.caveats)
    taken = shown.index[shown["chosen"] == "yes"]
    assert (facts["taken"], facts["total"], facts["loss"]) == (list(taken), total, not total.low > 0)
    assert facts["cost"] == pytest.approx(shown.loc[taken, "cost"].sum())


@pytest.mark.parametrize("programmes", [3, 10])
def test_the_best_of_several_worthless_programmes_is_not_taken_for_a_gain(programmes):
    """Truth: each brings exactly its cost. The set that chance makes look best is valued by the other half."""
    rng, held, found = np.random.default_rng(7), [], []
    for _ in range(400):
        folds = 16 * rng.normal(size=(programmes, 256))
        each = np.column_stack([folds.mean(axis=1), folds @ (draws.group_weights(200, int(rng.integers(1e9))).T / 256)])
        worth = priorities._Once(np.eye(programmes, dtype=bool), np.ones(programmes), each, np.zeros(programmes))
        first, second = worth.halves()
        assert (first.each[:, 0] + second.each[:, 0]) / 2 == pytest.approx(each[:, 0])
        total = second.of(first.best(math.inf))
        e = draws.estimate(total[0], total[1:], 1000)
        held.append(not e.excludes(0))
        found.append(total[0])
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)
    assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / 20)


def test_the_total_is_known_as_its_weakest_part_and_links_are_named():
    company = reached_by(A=range(200), B=range(200, 400))
    found = priorities.ranked(company, [candidate("A", 5, 3, 200), candidate("B", 5, 3, 200, known="adjusted")])
    assert (found.known, found.figures[0].known) == ("each", "adjusted")
    assert rows(found)["known"].to_dict() == {"A": "comparison", "B": "adjusted"}
    assert any("not a proven effect" in c for c in found.caveats)
    proven = priorities.ranked(company, [candidate("A", 5, 3, 200, known="randomised"), candidate("B", 5, 3, 200)])
    assert proven.figures[0].known == "comparison"
    assert not any("not a proven effect" in c for c in proven.caveats)


def test_a_total_that_may_be_a_loss_says_so():
    company = reached_by(A=range(200))
    found = priorities.ranked(company, [Candidate("A", "A", 500, gains(3, 5), 200, "randomised")])
    assert found.facts["total"].low < 0 < found.facts["total"].high
    assert "A loss is possible." in found.detail


def test_planned_ones_stand_below_and_take_what_is_left():
    company = reached_by(A=range(200), B=range(200, 400))
    several = [
        candidate("A", 500, 3, 200),
        Candidate("Plan", "P", 300, Estimate(10, 0, 12), 200, "forecast", True),
        Candidate("Large plan", "Q", 900, Estimate(40, 0, 50), 200, "forecast", True),
    ]
    found = priorities.ranked(company, several, budget=850)
    shown = rows(found)
    assert shown.index.to_list() == ["A", "Large plan", "Plan"]
    assert shown["chosen"].to_dict() == {"A": "yes", "Large plan": "no", "Plan": "yes"}
    assert shown.loc["Plan", ["value", "low", "high"]].to_list() == pytest.approx([1700, -300, 2100])
    assert np.isnan(shown.loc["Plan", "shared"])
    assert "Scenario, not a result: Plan would bring" in found.detail
    assert found.facts["scenarios"] == pytest.approx({"Plan": 1700})
    assert any("Planned programmes are scenarios" in c for c in found.caveats)
    assert rows(found).loc["Plan", "known"] == "forecast"


def test_only_planned_ones_can_be_ranked():
    company = reached_by(A=range(200))
    found = priorities.ranked(company, [Candidate("Plan", "P", 300, Estimate(10, 0, 12), 200, "forecast", True)])
    assert "No measured programme" in found.headline
    assert rows(found).loc["Plan", "chosen"] == "yes"


def test_a_limit_is_kept_and_a_loss_is_never_taken():
    company = reached_by(A=range(200), B=range(200, 400))
    several = [candidate("A", 500, 10, 200), candidate("B", 800, 2, 200)]
    assert rows(priorities.ranked(company, several))["chosen"].to_dict() == {"A": "yes", "B": "no"}
    none = priorities.ranked(company, several, budget=100)
    assert set(none.table["chosen"]) == {"no"}
    assert none.headline.startswith("No programme within a budget of")
    assert (none.facts["taken"], none.facts["best"]) == ([], "A")
    assert none.facts["best_net"] == pytest.approx(1500)


def test_many_programmes_are_taken_one_after_the_other():
    members = {f"I{i:02d}": range(20 * i, 20 * i + 20) for i in range(15)}
    company = reached_by(**members)
    several = [candidate(k, 100, 6 + i, 20) for i, k in enumerate(members)]
    found = priorities.ranked(company, several, budget=500)
    chosen = found.table.loc[found.table["chosen"] == "yes", "initiative"]
    assert set(chosen) == {f"I{i:02d}" for i in range(10, 15)}  # alike in cost and apart, so the five best
    assert found.facts["several"]
    assert any("do not try every set" in c for c in found.caveats)


def test_small_overlaps_are_not_shown_and_unrecorded_ones_said():
    company = reached_by(A=range(200), B=range(190, 380))
    several = [candidate("A", 500, 10, 200), candidate("B", 500, 8, 190), candidate("Z", 500, 7, 100)]
    found = priorities.ranked(company, several)
    assert np.isnan(rows(found).loc["B", "shared"])
    assert (found.facts["hidden"], found.facts["unrecorded"]) == (1, ["Z"])
    assert any("1 overlap of fewer than 30 customers" in c for c in found.caveats)
    assert any("reached by Z are not recorded" in c for c in found.caveats)
    assert rows(found).loc["Z", "once"] == pytest.approx(200)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"cost": 0.0}, "has no cost"), ({"cost": math.nan}, "has no cost"), ({"customers": 0}, "reaches nobody"),
     ({"gain": np.ones(3)}, "has 3 draws")],
)  # fmt: skip
def test_what_cannot_be_ranked_is_refused(change, said):
    good = {"name": "A", "initiative_id": "A", "cost": 5.0, "gain": gains(1.0), "customers": 10, "known": "comparison"}
    with pytest.raises(InputError, match=said):
        priorities.ranked(reached_by(A=range(10)), [Candidate(**good | change)])


def test_a_budget_below_zero_and_a_name_twice_are_refused():
    company, one = reached_by(A=range(10)), candidate("A", 5, 1, 10)
    with pytest.raises(InputError, match="budget"):
        priorities.ranked(company, [one], budget=-1)
    with pytest.raises(InputError, match="same name"):
        priorities.ranked(company, [one, one])
    assert not priorities.ranked(company, []).answered


# ---- the cost of a known failure ---------------------------------------------------------------------------------

SINCE, BASE, WITHIN = pd.Timestamp("2024-12-31"), 0.02 / 30.4375, 90


def failing(times, customers=6000, seed=1, **more):
    """A year in which everybody leaves at 2 % a month, ``times`` that in the 90 days after a contact about an outage.

    Half of the customers have one such contact, half one about a bill, which changes nothing.
    """
    rng = np.random.default_rng(seed)
    called = {
        t: np.where(rng.random(customers) < 0.5, rng.integers(1, 330, customers), 10_000) for t in ("outage", "bill")
    }
    day = np.arange(1, 366)
    after = (day > called["outage"][:, None]) & (day <= called["outage"][:, None] + WITHIN)
    leaves = rng.random((customers, 365)) < BASE * np.where(after, times, 1.0)
    left = np.where(leaves.any(1), leaves.argmax(1) + 1, 10_000)
    ids = np.array([f"c{i:05d}" for i in range(customers)])
    date = lambda d: SINCE + pd.to_timedelta(d, unit="D")  # noqa: E731
    people = pd.DataFrame({
        "customer_id": ids, "joined_on": SINCE - pd.to_timedelta(rng.integers(30, 1500, customers), unit="D"),
        "left_on": date(np.where(left < 400, left, 0)), "plan": rng.choice(["A", "B"], customers),
        "monthly_revenue": 20.0,
    })  # fmt: skip
    people["left_on"] = people["left_on"].where(left < 400)
    parts = [
        pd.DataFrame({"customer_id": ids, "opened_at": date(d), "topic": t})[(d < 400) & (d <= left)]
        for t, d in called.items()
    ]
    contacts = pd.concat(parts, ignore_index=True)
    contacts.insert(0, "contact_id", [f"t{i}" for i in range(len(contacts))])
    own = {"name": "T", "as_of": "2025-12-31", "relationship": "contractual", "currency": "EUR", "draws": 200,
           "segments": ["plan"], "metrics": {"nps": {"scale": [0, 10]}}, "money": MONEY} | more  # fmt: skip
    days = (after & (day <= left[:, None])).sum()
    return Company.from_frames(own, {"customers": people, "contacts": contacts}), BASE * days


def test_the_excess_of_a_failure_is_found():
    company, expected = failing(3.0)
    found = priorities.cost_of_failure(company)
    shown = found.table.set_index("topic")
    row = shown.loc["outage"]
    assert row["expected"] == pytest.approx(expected, rel=0.1)
    truth = row["lost"] - expected  # at 12 x 20 a year and a margin of 60 %
    assert row["low"] < 144 * truth < row["high"]
    assert row["low"] > 0
    assert (row["nothing"], row["everything"]) == (0, pytest.approx(144 * row["lost"]))
    assert found.table["topic"].iloc[0] == "outage"
    assert shown.loc["bill", "low"] == 0
    assert found.known == "adjusted"
    facts = found.facts
    assert (facts["topic"], facts["detected"], facts["topics"]) == ("outage", True, 2)
    assert [facts[k] for k in ("lost", "expected", "everything")] == row[["lost", "expected", "everything"]].to_list()
    assert facts["excess"] == figures(found)["failure-outage"]
    assert any("not a proven effect" in c for c in found.caveats)


def test_where_nothing_fails_no_excess_is_claimed():
    claimed = 0
    for seed in range(5):
        company, __ = failing(1.0, customers=2500, seed=seed)
        shown = priorities.cost_of_failure(company).table
        claimed += int((shown["low"] > 0).sum())
        assert (shown["value"] >= 0).all()
    assert claimed <= 1  # of 10, by an interval of 95 %


def test_days_and_leavers_are_counted_as_by_hand(world, frames):
    since, end = pd.Timestamp("2025-06-30"), pd.Timestamp("2026-06-30")
    people = frames["customers"].copy()
    people["last"] = people["left_on"].fillna(end)
    reasons = world.settings.involuntary_reasons
    people["gone"] = people["left_on"].notna() & ~people["left_reason"].isin(reasons)
    days = pd.date_range(since + pd.Timedelta(days=1), end)
    here = (people["joined_on"].to_numpy()[:, None] <= days.to_numpy()) & (
        people["last"].to_numpy()[:, None] >= days.to_numpy()
    )
    all_of = planned_reach.at_risk(world, since.date())
    assert all_of["days"].sum() == here.sum()
    assert all_of["lost"].sum() == (people["gone"] & (people["left_on"] > since)).sum()
    age = (days.to_numpy() - people["joined_on"].to_numpy()[:, None]) / np.timedelta64(1, "D")
    by_stage = all_of.groupby(STAGE)["days"].sum()
    assert by_stage["first 3 months"] == (here & (age >= 0) & (age < 91)).sum()
    assert by_stage["second year"] == (here & (age >= 365) & (age < 730)).sum()
    after = planned_reach.after_contact(world, since.date(), WITHIN)
    for topic in ("outage", "billing"):
        mine = frames["contacts"].query("topic == @topic")
        exposed = np.zeros(here.shape, dtype=bool)
        place = people.index.get_indexer(
            people.reset_index().set_index("customer_id").loc[mine["customer_id"], "index"]
        )
        for who, opened in zip(place, mine["opened_at"].dt.normalize(), strict=True):
            exposed[who] |= (days > opened) & (days <= opened + pd.Timedelta(days=WITHIN))
        part = after[after["topic"] == topic]
        assert part["days"].sum() == (exposed & here).sum()
        on_leaving = days.get_indexer(people["left_on"])
        lost = people["gone"] & (on_leaving >= 0) & exposed[np.arange(len(people)), on_leaving]
        assert part["lost"].sum() == lost.sum()
        assert part["paid"].sum() == pytest.approx(12 * people.loc[lost, "monthly_revenue"].sum())


def test_a_topic_after_which_few_left_is_not_shown(world, frames):
    lost = planned_reach.after_contact(world, pd.Timestamp("2025-06-30").date(), WITHIN).groupby("topic")["lost"].sum()
    least = int(lost.median()) + 1
    own = demo.settings("demo", draws=DRAWS) | {"privacy": {"minimum_base": least}}
    company = Company.from_frames(own, {t: frames[t] for t in ("customers", "contacts")})
    found = priorities.cost_of_failure(company)
    assert set(found.table["topic"]) == set(lost.index[lost >= least])
    assert found.facts["small"] == (lost.drop("(none)", errors="ignore") < least).sum()
    assert any(f"fewer than {least} customers left" in c for c in found.caveats)


def test_where_too_few_left_after_any_topic_reasons_stand_in():
    company, __ = failing(1.0, customers=200)
    assert "after no topic did 30 customers leave" in priorities.cost_of_failure(company).headline
    people = company.frame("customers").drop(columns=["fold", "weight"], errors="ignore")
    people = people[["customer_id", "joined_on", "left_on", "plan", "monthly_revenue"]].assign(left_reason="price")
    own = {"name": "T", "as_of": "2025-12-31", "relationship": "contractual", "currency": "EUR", "draws": DRAWS,
           "segments": ["plan"], "metrics": {"nps": {"scale": [0, 10]}}, "money": MONEY}  # fmt: skip
    contacts = company.frame("contacts")[["contact_id", "customer_id", "opened_at", "topic"]]
    found = priorities.cost_of_failure(Company.from_frames(own, {"customers": people, "contacts": contacts}))
    assert found.table["topic"].to_list() == ["price"]
    assert found.caveats[0].startswith("After no topic of contact did 30 customers leave")


def test_without_topics_the_reasons_given_are_shown(frames):
    own = demo.settings("demo", draws=DRAWS)
    company = Company.from_frames(own, {"customers": frames["customers"]})
    found = priorities.cost_of_failure(company)
    people = frames["customers"]
    gone = people[
        (people["left_on"] > pd.Timestamp("2025-06-30"))
        & ~people["left_reason"].isin(company.settings.involuntary_reasons)
    ]
    sums = gone.groupby("left_reason")["monthly_revenue"].agg(["size", "sum"]).query("size >= 30")
    shown = found.table.set_index("topic")
    assert shown["everything"].to_dict() == pytest.approx((12 * 0.75 * sums["sum"]).to_dict())
    assert (shown["nothing"] == 0).all()
    assert shown["expected"].isna().all()
    assert (found.known, found.name, found.facts["topics"]) == ("count", "cost-of-failure", False)
    top = sums["sum"].idxmax()
    assert (found.facts["reason"], found.facts["lost"]) == (top, sums.loc[top, "size"])
    silent = gone["left_reason"].isna().sum()
    assert found.facts["silent"] == (silent if silent >= 30 else 0)
    assert found.facts["silent_share"] == pytest.approx(silent / len(gone))


def test_what_a_leaver_paid_is_taken_from_orders_where_there_is_no_fee(frames):
    own, people = demo.settings("demo", draws=DRAWS), frames["customers"]
    company = Company.from_frames(
        own, {"customers": people.drop(columns="monthly_revenue"), "orders": frames["orders"]}
    )
    counted = planned_reach.reasons(company, pd.Timestamp("2025-06-30").date())
    gone = people[
        (people["left_on"] > pd.Timestamp("2025-06-30"))
        & ~people["left_reason"].isin(company.settings.involuntary_reasons)
    ]
    paid = frames["orders"].merge(gone[["customer_id", "left_on"]], on="customer_id")
    ago = (paid["left_on"] - paid["ordered_at"].dt.normalize()).dt.days
    assert counted["paid"].sum() == pytest.approx(paid.loc[ago.between(0, 364), "revenue"].sum())
    assert priorities.cost_of_failure(company).answered


def test_where_nobody_is_seen_to_leave_there_is_no_cost_of_failure():
    shop = Company.from_frames(demo.settings("demo-shop", draws=DRAWS), demo.shop(6, 300))
    assert "nobody is seen to leave" in priorities.cost_of_failure(shop).headline
    company, __ = failing(1.0, customers=100, money=None)
    assert "money block" in priorities.cost_of_failure(company).headline
