"""Where the money is: concentration of known shape, sums that agree with the forecast, and small groups kept out."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import no_programmes
from surveys import figures
from test_forecast import MONEY, annuity, contracts

from cxlib import demo
from cxlib.intake.company import Company
from cxlib.value import buyers, concentration, forecast

pytestmark = pytest.mark.filterwarnings("error")
ALL = (concentration.grid, concentration.curve, concentration.spread, concentration.at_risk)


@pytest.fixture(scope="module")
def world():
    return Company.from_frames(demo.settings("demo", draws=100), no_programmes(demo.subscription(5, 2000)))


@pytest.fixture(scope="module")
def shop():
    return Company.from_frames(demo.settings("demo-shop", draws=60), demo.shop(6, 700))


@pytest.fixture(scope="module")
def two_fees():
    """Two plans of one hazard; two in three pay 10 and one in three pays 40."""
    return contracts([0.02, 0.02], fees=[10.0, 40.0], customers=3000, shares=[2 / 3, 1 / 3])


# ---- known shapes ------------------------------------------------------------------------------------------------


def test_customers_all_alike_lie_on_the_diagonal():
    company = contracts([0.02], customers=2500)
    found = concentration.curve(company)
    assert found.table["value"].to_numpy() == pytest.approx(found.table["top"].to_numpy())
    assert figures(found)["gini"].value == pytest.approx(0, abs=1e-9)
    shown = concentration.grid(company).table
    assert len(shown) == 2  # all are alike, in one cell
    row = concentration.spread(company).table.iloc[0]
    assert row[["p25", "p50", "p75"]].to_list() == pytest.approx([row["value"]] * 3)
    assert np.isnan(row["p5"])  # fewer than 30 customers would lie below


def test_two_fees_give_the_curve_of_two_lines(two_fees):
    people = two_fees.frame("customers")
    dear = (people.loc[people["left_on"].isna(), "plan"] == "B").mean()
    held = 40 * dear / (40 * dear + 10 * (1 - dear))  # by the customers of the dear plan
    found = concentration.curve(two_fees)
    shown = found.table.set_index("top")
    for top in (0.1, 0.2):  # all of them pay 40
        assert shown.loc[top, "value"] == pytest.approx(held * top / dear, abs=0.02)
    for top in (0.5, 0.8):
        assert shown.loc[top, "value"] == pytest.approx(held + (1 - held) * (top - dear) / (1 - dear), abs=0.02)
    assert figures(found)["gini"].value == pytest.approx(held - dear, abs=0.02)  # Gini of two groups
    levels = concentration.spread(two_fees).table.set_index("level")
    worth = 0.6 * annuity(np.exp(-0.02))
    assert levels.loc["A", ["value", "p25", "p50", "p75"]].to_list() == pytest.approx([10 * worth] * 4, rel=0.05)
    assert levels.loc["B", ["value", "p25", "p50", "p75"]].to_list() == pytest.approx([40 * worth] * 4, rel=0.05)


def test_at_risk_is_what_is_lost_by_leaving(two_fees):
    row = concentration.at_risk(two_fees).table.iloc[0]
    people = two_fees.frame("customers")
    pays = 0.6 * people.loc[people["left_on"].isna(), "monthly_revenue"].sum()
    assert row["value"] + row["expected"] == pytest.approx(pays * annuity(1.0))
    truth = pays * (annuity(1.0) - annuity(np.exp(-0.02)))
    assert row["low"] < truth < row["high"]


# ---- sums --------------------------------------------------------------------------------------------------------


def test_everything_adds_up_to_the_forecast(world):
    base = forecast.base(world).facts["model"]
    grid = concentration.grid(world)
    last = grid.table.iloc[-1]
    assert last["expected"] == pytest.approx(base.value)
    assert last["n"] == base.n
    # What is at risk is known as well as what is expected, as the two make up a fixed sum.
    assert last["high"] - last["low"] == pytest.approx(base.high - base.low)
    assert concentration.spread(world).table.iloc[0]["value"] == pytest.approx(base.value / base.n)
    levels = concentration.at_risk(world).table
    for cut in ("plan", "region"):
        part = levels[levels["cut"] == cut]
        assert part[["value", "expected", "n"]].sum().to_list() == pytest.approx(
            levels.iloc[0][["value", "expected", "n"]].to_list()
        )
        assert part["share"].sum() == pytest.approx(1)
        assert part["value"].is_monotonic_decreasing


def test_facts_are_the_numbers_of_the_tables(world):
    grid, curve, spread, levels = (question(world) for question in ALL)
    assert {f.known for f in (grid, curve, spread, levels)} == {"forecast"}
    cells, last = grid.table.iloc[:-1], grid.table.iloc[-1]
    top = cells.loc[cells["value"].idxmax()]
    assert grid.facts["most"] == {k: top[k] for k in ("worth", "risk", "share", "n")}
    assert grid.facts["whole"] == last["value"] + last["expected"]
    assert grid.facts["part"] == pytest.approx(last["value"] / grid.facts["whole"])
    assert curve.facts["top"] == 0.2
    assert curve.facts["held"].value == curve.table.set_index("top").loc[0.2, "value"]
    assert spread.facts["p50"] == spread.table.iloc[0]["p50"]
    for k in levels.facts["most"]:
        part = levels.table[levels.table["cut"] == k["cut"]]
        assert (k["level"], k["share"]) == tuple(part.loc[part["value"].idxmax(), ["level", "share"]])


def test_all_cells_add_up_where_none_is_hidden():
    joined, all_shown = ("2023-01-01", "2025-12-30"), {"minimum_base": 1}
    fees = [10.0, 20.0, 40.0]
    company = contracts([0.01, 0.02, 0.03], fees=fees, customers=2500, joined=joined, privacy=all_shown)
    shown = concentration.grid(company).table
    cells, last = shown.iloc[:-1], shown.iloc[-1]
    assert len(cells) >= 3
    for column in ("value", "expected", "n", "share"):
        assert cells[column].sum() == pytest.approx(last[column])


def test_thirds_put_dear_above_cheap_and_risky_above_safe(world):
    of = concentration.holdings(world)
    n = of.rows["n"].to_numpy()
    for column in ("each", "risk"):
        third = concentration._thirds(of.rows[column], n)
        ends = of.rows.groupby(third)[column].agg(["min", "max"])
        assert len(ends) == 3
        assert (ends["min"].to_numpy()[1:] >= ends["max"].to_numpy()[:-1] * (1 - 1e-6)).all()


def test_fee_bands_lose_nothing_and_are_narrow(world):
    of = concentration.holdings(world)
    people = world.frame("customers")
    fees = people.loc[people["left_on"].isna(), "monthly_revenue"]
    exact = np.quantile(fees, [0.1, 0.5, 0.9])
    banded = concentration._quantiles(
        (of.rows["fee"] / of.rows["n"]).to_numpy(), of.rows["n"].to_numpy(), [0.1, 0.5, 0.9]
    )
    assert of.rows["fee"].sum() == pytest.approx(fees.sum())
    assert banded == pytest.approx(exact, rel=0.02)


# ---- bad answers -------------------------------------------------------------------------------------------------


def test_bad_answers_are_counted_by_hand(world):
    shown = concentration.at_risk(world).table.set_index("level")
    people, given = world.frame("customers"), world.frame("responses").query("metric == 'nps'").dropna(subset="score")
    here = people.loc[people["left_on"].isna(), "customer_id"]
    since = given["answered_at"].dt.normalize()
    recent = given[(np.datetime64(world.as_of) - since).dt.days <= 365]
    last = recent.sort_values(["answered_at", "response_id"]).groupby("customer_id")["score"].last()
    assert shown.loc["NPS detractor at relationship", "n"] == (last.reindex(here) <= 6).sum()
    found = concentration.at_risk(world)
    bad = shown[shown["cut"] == "last answer"]
    assert found.facts["worst"] == {
        "metric": "NPS", "band": "detractor", "touchpoint": "relationship",
        "n": bad["n"].iloc[0], "risk": bad["value"].max(),
    }  # fmt: skip
    assert any("linked to" in c and "need not be the cause" in c for c in found.caveats)


# ---- shops -------------------------------------------------------------------------------------------------------


def test_a_shop_is_shown_by_the_chance_of_being_active(shop):
    rows = buyers.each(shop)
    expected = (rows["n"] * rows["value"]).sum()
    last = concentration.grid(shop).table.iloc[-1]
    assert last["expected"] == pytest.approx(expected)
    assert last["value"] == pytest.approx((rows["n"] * rows["value"] * (1 / rows["active"] - 1)).sum())
    levels = concentration.at_risk(shop).table
    part = levels[levels["cut"] == "country"]
    assert part["value"].sum() <= last["value"] * (1 + 1e-9)
    curve = concentration.curve(shop)
    assert curve.table["value"].is_monotonic_increasing
    assert figures(curve)["gini"].low > 0
    for question in ALL:
        assert any("one purchase counts as active" in c for c in question(shop).caveats)


# ---- what cannot be answered -------------------------------------------------------------------------------------


def test_what_cannot_be_answered_gives_the_reason():
    without = contracts([0.02], customers=100, money=None)
    few = contracts([0.02], customers=20)
    for question in ALL:
        assert "no money block" in question(without).headline
        assert "fewer than the minimum base of 30" in question(few).headline
    free = contracts([0.02], fees=0.0, customers=1000, money=MONEY)
    assert "nothing is expected" in concentration.grid(free).headline
    assert all(f.row() for f in forecast.base(free).figures)
    assert "nothing was paid" in forecast.holdout(free).headline


def test_a_company_without_segments_is_answered():
    company = contracts([0.02], customers=1500, segments=[])
    for question in (forecast.base, forecast.holdout, *ALL):
        found = question(company)
        assert found.answered
        assert all(f.row() for f in found.figures)


def test_small_groups_stay_unseen():
    company = contracts([0.02, 0.02], customers=1500, shares=[0.96, 0.04], privacy={"minimum_base": 30})
    for question in (concentration.spread, concentration.at_risk):
        found = question(company)
        assert len(found.table) == 1
        assert found.facts["hidden"] == 2
        assert any("Not shown: 2 levels" in c for c in found.caveats)
    assert concentration.curve(company).table["top"].min() * company.frame("customers")["left_on"].isna().sum() >= 30
