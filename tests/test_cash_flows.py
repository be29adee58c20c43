"""Two paths of the same customers: channels that add up, value, break-even and sensitivity, with known truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cxlib.roi import cash_flows
from cxlib.roi.cash_flows import Paths, Side, Terms
from cxlib.stats import draws, finance

TERMS = Terms(cost_upfront=8000.0, cost_per_month=300.0, running=12.0, monthly_rate=0.006)


def side(here: object, pay: object, serve: object) -> Side:
    """A path from the share here and what a customer here pays and costs; one row, or one for each draw."""
    here = np.atleast_2d(np.asarray(here, float))
    return Side(here, here * pay, here * serve)


def steady(leaving: object, pay: object, serve: object, months: int = 12) -> Side:
    rate = np.reshape(leaving, (-1, 1))
    return side((1 - rate) ** np.arange(1, months + 1), np.reshape(pay, (-1, 1)), np.reshape(serve, (-1, 1)))


def example(seed: int = 1, months: int = 12, count: int = 200, customers: float = 1200.0, noise: float = 0.01) -> Paths:
    """Fewer leave, those here pay 1 more a month and cost 1 less to serve; the draws spread around it."""
    rng = np.random.default_rng(seed)

    def around(value: float) -> np.ndarray:
        return value * np.r_[1.0, 1 + noise * rng.normal(size=count)]

    with_it = steady(around(0.018), around(31), around(4), months)
    return Paths(with_it, steady(around(0.025), around(30), around(5), months), customers, 4000, 256)


@st.composite
def any_paths(draw: st.DrawFn) -> Paths:
    shape = (draw(st.integers(3, 5)), draw(st.integers(1, 7)))

    def one() -> Side:
        here = draw(arrays.arrays(float, shape, elements=st.floats(0, 1).map(lambda v: v if v > 1e-3 else 0.0)))
        amounts = arrays.arrays(float, shape, elements=st.floats(-50, 200))
        return Side(here, draw(amounts), draw(amounts))

    return Paths(one(), one(), draw(st.floats(1, 1e5)), 500, 256)


# What a customer brought more, and through what


def test_channels_of_two_months_worked_by_hand():
    # Without: 80 then 50 of 100 stay and pay 10, served for 2 each; with: 90 then 75, paying 12, served for 1.
    paths = Paths(side([0.9, 0.75], 12, 1), side([0.8, 0.5], 10, 2), 100, 200, 256)
    found = {name: list(100 * part[0]) for name, part in cash_flows.channels(paths, 0.25).items()}
    assert found["stayed longer"] == pytest.approx([80, 200])  # 10 and 25 customers at 10 less 2
    assert found["paid more while here"] == pytest.approx([180, 150])  # 90 and 75 customers at 2 more
    assert found["support saved in cash"] == pytest.approx([0.25 * 90, 0.25 * 75])  # 90 and 75 served for 1 less
    assert found["support saved, time only"] == pytest.approx([0.75 * 90, 0.75 * 75])
    assert 100 * cash_flows.gain(paths)[0] == pytest.approx([350, 425])


@given(any_paths(), st.none() | st.floats(0, 1))
@settings(max_examples=60)
def test_channels_add_up_to_the_gain_in_every_draw_and_month(paths, cashable):
    found = cash_flows.channels(paths, cashable)
    assert sum(found.values()) == pytest.approx(cash_flows.gain(paths), rel=1e-9, abs=1e-8)
    if cashable is None:
        assert not found[cash_flows.SAVED_CASH].any()


def test_separate_estimates_of_each_channel_count_the_same_money_twice():
    # As dashboards do: customers kept at the pay of those with the programme, the rise in pay times all customers,
    # and the fall in contacts times all customers.
    paths = example(months=36)
    w, o = paths.with_it, paths.without
    pay = w.earned / w.here, o.earned / o.here
    cost = w.service / w.here, o.service / o.here
    kept, rise, fewer = (w.here - o.here) * pay[0], pay[0] - pay[1], cost[1] - cost[0]
    separate = kept + rise + fewer
    once = sum(cash_flows.channels(paths, None).values())
    assert separate[0].sum() > 1.1 * once[0].sum()
    # The excess: customers kept at a higher pay count once as kept and once as paying more, leavers count although they
    # neither pay nor call, and nobody counted the cost of serving those kept.
    too_much = (w.here - o.here) * rise + (1 - w.here) * rise + (1 - w.here) * fewer + (w.here - o.here) * cost[1]
    assert separate - once == pytest.approx(too_much)


def test_where_nobody_would_be_left_all_that_is_earned_is_from_staying():
    paths = Paths(side([0.9, 0.5], 10, 0), side([0.8, 0.0], 10, 0), 100, 200, 256)
    found = cash_flows.channels(paths, None)
    assert found["stayed longer"][0] == pytest.approx([1, 5])
    assert not found["paid more while here"].round(12).any()


def test_parts_add_up_and_a_channel_nothing_is_declared_of_is_0_for_certain():
    paths = example()
    table = cash_flows.parts(paths, None, share=0.5).set_index("channel")
    assert table["value"].iloc[:-1].sum() == pytest.approx(table.loc["in all", "value"])
    assert table.loc["in all", "value"] == pytest.approx(
        cash_flows.worth_of(paths, replace(TERMS, share=0.5)).benefit.value
    )
    assert table.loc[cash_flows.SAVED_CASH, ["value", "low", "high"]].tolist() == [0, 0, 0]
    assert (table["low"] < table["high"]).drop(cash_flows.SAVED_CASH).all()
    assert np.isnan(cash_flows.parts(example(noise=0), None)["low"]).sum() == 4  # draws that agree are no certainty


# Beyond the months seen


def test_an_effect_that_lasts_goes_on_as_a_steady_rate_of_leaving_does():
    short, whole = example(), example(months=40)
    longer = cash_flows.extended(short, 40, 1.0)
    for name in ("with_it", "without"):
        for what in ("here", "earned", "service"):
            assert getattr(getattr(longer, name), what) == pytest.approx(getattr(getattr(whole, name), what))
    assert cash_flows.gain(cash_flows.extended(whole, 12, 0.3)) == pytest.approx(cash_flows.gain(short))


def test_an_effect_that_is_gone_leaves_the_customers_kept_behaving_like_the_others():
    longer = cash_flows.extended(example(), 30, 0.0)
    w, o = longer.with_it, longer.without
    assert (w.here / o.here)[:, 12:] == pytest.approx(np.repeat((w.here / o.here)[:, 11:12], 18, 1))
    assert (w.earned / w.here)[:, 12:] == pytest.approx((o.earned / o.here)[:, 12:])
    assert (w.service / w.here)[:, 12:] == pytest.approx((o.service / o.here)[:, 12:])
    gained = [cash_flows.gain(cash_flows.extended(example(), 36, k)).sum(1)[0] for k in (0, 0.5, 1)]
    assert gained == sorted(gained)


def test_a_quarter_kept_a_year_is_a_quarter_after_a_year_and_a_sixteenth_after_two():
    longer = cash_flows.extended(example(noise=0), 36, 0.25)
    pay = [s.earned[0] / s.here[0] for s in (longer.with_it, longer.without)]
    assert (pay[0] - pay[1])[[11, 17, 23, 35]] == pytest.approx([1, 1 / 2, 1 / 4, 1 / 16])
    leaving = [1 - s.here[0, 35] / s.here[0, 34] for s in (longer.with_it, longer.without)]
    assert leaving[0] - leaving[1] == pytest.approx((0.018 - 0.025) / 16)


def test_one_month_is_enough_to_carry_on_and_pay_is_that_of_the_last_three():
    longer = cash_flows.extended(Paths(side([0.9], 10, 1), side([0.8], 10, 1), 1, 100, 256), 3, 1.0)
    assert longer.without.here[0] == pytest.approx([0.8, 0.8**2, 0.8**3])
    rising = Paths(side([0.9] * 4, [1, 10, 20, 30], 0), side([0.8] * 4, 10, 0), 1, 100, 256)
    assert cash_flows.extended(rising, 5, 1.0).with_it.earned[0, 4] == pytest.approx(0.9 * 20)


# What it is worth


@given(st.integers(0, 10**6), st.integers(1, 30), st.floats(0, 40), st.floats(0, 0.05), st.floats(0, 1))
@settings(max_examples=40)
def test_worth_is_that_of_the_flows_one_by_one(seed, months, running, rate, share):
    paths = example(seed, months, count=5, noise=0.4)
    worth = cash_flows.worth_of(paths, Terms(5000.0, 200.0, running, rate, share))
    benefit = share * 1200 * cash_flows.gain(paths)
    paid = np.clip(running - np.arange(months), 0, 1) if running <= months else np.full(months, running / months)
    assert paid.sum() == pytest.approx(running)
    flows = np.column_stack([np.full(6, -5000.0), benefit - 200 * paid])
    assert worth.cost == pytest.approx(5000 + 200 * running)
    assert worth.net_present_value.value == pytest.approx(finance.npv(rate, flows[0], "now"))
    assert worth.roi.value == pytest.approx(finance.return_on_investment(benefit[0].sum(), worth.cost))
    assert worth.payback.value == pytest.approx(finance.payback(flows[0]))
    discounted = flows[0] / (1 + rate) ** np.arange(flows.shape[1])
    assert worth.discounted_payback.value == pytest.approx(finance.payback(discounted))
    assert cash_flows.paybacks(flows) == pytest.approx([finance.payback(f) for f in flows])
    assert worth.cumulated["value"].to_numpy() == pytest.approx(np.cumsum(flows[0]))
    assert worth.cumulated["month"].tolist() == list(range(months + 1))


@given(arrays.arrays(float, (6, 8), elements=st.integers(-5, 5).map(float)))
@settings(max_examples=100)
def test_payback_of_any_flows_is_that_of_each_row(flows):
    assert cash_flows.paybacks(flows) == pytest.approx([finance.payback(f) for f in flows])


def test_payback_of_a_draw_that_is_not_known_is_not_known():
    assert np.isnan(cash_flows.paybacks(np.array([[-1.0, math.nan], [-1.0, 2.0]]))).tolist() == [True, False]


def test_twice_the_customers_bring_twice_the_benefit_and_no_credit_brings_the_cost():
    once, twice = (cash_flows.worth_of(example(customers=c), TERMS) for c in (1200, 2400))
    assert [getattr(twice.benefit, k) for k in ("value", "low", "high")] == pytest.approx(
        [2 * getattr(once.benefit, k) for k in ("value", "low", "high")]
    )
    none = cash_flows.worth_of(example(), replace(TERMS, share=0.0))
    cost = 8000 + 300 * finance.discount_factors(0.006, 12, "end").sum()
    assert [none.net_present_value.low, none.net_present_value.high] == pytest.approx([-cost, -cost])
    assert (none.benefit.value, none.roi.value, none.loss_probability) == (0, -1, 1)
    assert none.payback.value == math.inf


def test_time_that_is_no_cash_can_be_left_out():
    paths, o = example(), example().without
    here = paths.with_it.here  # those here, served for less; serving those kept costs money and is never left out
    saved = 1200 * (here * o.service / o.here - paths.with_it.service)[0].sum()
    everything = cash_flows.worth_of(paths, replace(TERMS, cashable=0.6)).benefit.value
    assert everything == pytest.approx(cash_flows.worth_of(paths, TERMS).benefit.value)
    for cashable, counted in ((0.6, 0.6), (None, 0.0)):
        left = cash_flows.worth_of(paths, replace(TERMS, cashable=cashable, include_time_only=False)).benefit.value
        assert everything - left == pytest.approx((1 - counted) * saved)


def test_the_chance_of_a_loss_agrees_with_the_interval_and_is_never_certain():
    paths = example()
    clear = cash_flows.worth_of(paths, replace(TERMS, cost_upfront=100.0))
    assert clear.loss_probability == 1 / 200
    upfront = 100 + clear.net_present_value.low  # the interval then begins at 0
    assert cash_flows.worth_of(paths, replace(TERMS, cost_upfront=upfront)).loss_probability == pytest.approx(
        0.025, abs=1e-9
    )
    assert cash_flows.worth_of(paths, replace(TERMS, cost_upfront=1e6)).loss_probability == 1 - 1 / 200
    assert math.isnan(cash_flows.worth_of(example(noise=0), TERMS).loss_probability)


def test_payback_beyond_the_months_is_an_open_end():
    e = cash_flows.worth_of(example(noise=0.3), replace(TERMS, cost_upfront=20000.0)).payback
    assert math.isfinite(e.low)
    assert e.high == math.inf


# Break-even


@pytest.mark.parametrize("include_time_only", [True, False])
def test_each_effect_alone_at_its_break_even_is_worth_nothing(include_time_only):
    paths = example()
    terms = replace(TERMS, share=0.8, include_time_only=include_time_only, cashable=0.6)
    table = cash_flows.break_even(paths, terms).set_index(["lever", "unit"])["value"]
    o = paths.without
    fall = table["leaving falls by", "relative"]
    stays = side(o.here ** (1 - fall), o.earned / o.here, o.service / o.here)
    assert table["leaving falls by", "share here at the end"] == pytest.approx(stays.here[0, -1] - o.here[0, -1])
    rise, more = table["earned per customer here rises by"]
    cheaper = table["support cost falls by", "relative"]
    changed = [stays, replace(o, earned=(1 + rise) * o.earned), replace(o, earned=o.earned + more * o.here)]
    for alone in [*changed, replace(o, service=(1 - cheaper) * o.service)]:
        value = cash_flows.worth_of(replace(paths, with_it=alone), terms).net_present_value.value
        assert value == pytest.approx(0, abs=1e-6)


def test_break_even_has_an_interval_and_says_when_nothing_would_do():
    table = cash_flows.break_even(example(), TERMS)
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()
    never = cash_flows.break_even(example(), replace(TERMS, cost_upfront=1e6)).set_index(["lever", "unit"])["value"]
    assert never["leaving falls by"].tolist() == [math.inf, math.inf]
    assert never["support cost falls by", "relative"] == math.inf
    assert math.isfinite(never["earned per customer here rises by", "relative"])
    assert np.isinf(cash_flows.break_even(example(), replace(TERMS, share=0))["value"]).all()


def test_customers_who_bring_nothing_are_not_worth_keeping_at_any_rate():
    o = example().without
    poor = replace(o, earned=-o.earned, service=0 * o.service)
    table = cash_flows.break_even(replace(example(), without=poor), TERMS).set_index(["lever", "unit"])["value"]
    assert np.isinf(table.drop(("earned per customer here rises by", "money a month"))).all()
    assert math.isfinite(table["earned per customer here rises by", "money a month"])


def test_those_who_had_left_before_the_months_begin_cannot_be_kept():
    late = example().without
    late = Side(0.9 * late.here, 0.9 * late.earned, 0.9 * late.service)
    paths = Paths(late, late, 1200, 4000, 256)
    started, plain = (cash_flows.break_even(paths, TERMS, started=s)["value"] for s in (0.9, 1.0))
    whole = cash_flows.break_even(replace(example(), with_it=example().without, customers=1080), TERMS)["value"]
    assert started[0] == pytest.approx(whole[0])
    assert started[1] == pytest.approx(0.9 * whole[1])
    assert plain[0] < started[0]


# What matters most


def test_a_tornado_moves_one_input_at_a_time_and_starts_with_the_largest():
    paths = example()
    terms = replace(TERMS, share=0.8, cashable=0.6, include_time_only=False)
    table = cash_flows.tornado(paths, terms)
    assert table["swing"].is_monotonic_decreasing
    npv = lambda **changed: cash_flows.worth_of(paths, replace(terms, **changed)).net_present_value.value  # noqa: E731
    assert table["middle"].tolist() == pytest.approx([npv()] * len(table))
    ends = table.set_index("input")[["low", "high"]].T
    assert ends["programme cost"].tolist() == pytest.approx(
        [npv(cost_upfront=8000 * k, cost_per_month=300 * k) for k in (0.9, 1.1)]
    )
    assert ends["discount rate"].tolist() == pytest.approx([npv(monthly_rate=0.006 * k) for k in (0.5, 2)])
    assert ends["share credited"].tolist() == pytest.approx([npv(share=0.8), npv(share=1.0)])
    richer = replace(
        paths,
        with_it=replace(paths.with_it, earned=1.1 * paths.with_it.earned),
        without=replace(paths.without, earned=1.1 * paths.without.earned),
    )
    assert ends["margin"]["high"] == pytest.approx(cash_flows.worth_of(richer, terms).net_present_value.value)
    channels = table[table["range_is"] == "interval"]
    assert sorted(channels["input"]) == ["effect on spend", "effect on staying", "effect on support"]
    assert (channels["high"] - channels["low"]).tolist() == pytest.approx(
        (channels["high_input"] - channels["low_input"]).tolist()
    )
    stay = channels.set_index("input").loc["effect on staying"]
    part = 0.8 * 1200 * cash_flows.channels(paths, 0.6)["stayed longer"] @ finance.discount_factors(0.006, 12, "end")
    assert stay["low_input"] == pytest.approx(draws.estimate(part[0], part[1:], 4000).low)
    assert "share credited" not in cash_flows.tornado(paths, TERMS)["input"].tolist()


def test_a_tornado_over_a_horizon_asks_how_fast_the_effect_fades():
    paths = example()
    table = cash_flows.tornado(paths, TERMS, horizon=36, kept_a_year=(0.0, 0.5)).set_index("input")
    npv = [
        cash_flows.worth_of(cash_flows.extended(paths, 36, k), TERMS).net_present_value.value for k in (0, 0.25, 0.5)
    ]
    assert table.loc["effect kept a year", ["low", "middle", "high"]].tolist() == pytest.approx(npv)
    assert table.loc["effect kept a year", "range_is"] == "declared"
    for given_ in (dict(horizon=12, kept_a_year=(0.0, 0.5)), dict(horizon=36)):
        assert "effect kept a year" not in cash_flows.tornado(paths, TERMS, **given_)["input"].tolist()


# What cannot be asked


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (dict(cost_upfront=0.0, cost_per_month=0.0), "costs nothing.*enter what it costs"),
        (dict(cost_upfront=-1.0), "cost upfront is -1.*0 or more"),
        (dict(cost_per_month=math.nan), "cost a month is nan"),
        (dict(running=-3.0), "months paid is -3"),
        (dict(share=1.2), "share credited is 1.2.*from 0 to 1"),
        (dict(cashable=-0.1), "cash share of support savings is -0.1.*from 0 to 1"),
        (dict(monthly_rate=-1.0), "fraction above -1"),
        (dict(customers=0), "0 customers were reached"),
        (dict(months=0), "no month.*at least one"),
    ],
)
def test_what_has_no_return_is_refused_with_the_remedy(changed, says):
    paths = example()
    if "months" in changed:
        paths = replace(paths, with_it=side(np.empty((201, 0)), 1, 1), without=side(np.empty((201, 0)), 1, 1))
    paths = replace(paths, customers=changed.get("customers", 1200))
    terms = replace(TERMS, **{k: v for k, v in changed.items() if k not in ("months", "customers")})
    for ask in (cash_flows.worth_of, cash_flows.break_even, cash_flows.tornado):
        with pytest.raises(ValueError, match=says):
            ask(paths, terms)


@pytest.mark.parametrize(
    ("months", "kept", "says"), [(0, 0.5, "0 months"), (2.5, 0.5, "2.5"), (20, 1.5, "kept a year is 1.5")]
)
def test_a_length_or_a_fading_that_cannot_be_is_refused(months, kept, says):
    with pytest.raises(ValueError, match=says):
        cash_flows.extended(example(), months, kept)


def test_a_range_of_fading_must_be_two_shares_in_order():
    with pytest.raises(ValueError, match="the lower first"):
        cash_flows.tornado(example(), TERMS, horizon=36, kept_a_year=(0.5, 0.2))


# Known truth


def simulated(rng: np.random.Generator, weights: np.ndarray, n: int, months: int, rates: list[tuple]) -> Paths:
    """Two arms of n customers whose pay differs from one to the next, leaving at a steady rate, contacts by chance."""
    folds, sides = weights.shape[1], []
    for leaving, pay, serve in rates:
        fold = rng.integers(0, folds, n)
        here = rng.geometric(leaving, n)[:, None] > np.arange(1, months + 1)
        fee = rng.gamma(4, pay / 4, n)[:, None]
        service = here * rng.poisson(serve / 8, (n, months)) * 8.0
        cells = np.stack([here, here * fee, service, np.ones_like(service)]).transpose(1, 0, 2).reshape(n, -1)
        sums = weights @ (np.eye(folds)[fold].T @ cells)
        here, earned, service, people = sums.reshape(len(weights), 4, months).transpose(1, 0, 2)
        sides.append(Side(here / people, earned / people, service / people))
    return Paths(*sides, customers=float(n), base=2.0 * n, groups=folds)


def test_intervals_of_gain_and_net_present_value_cover_a_known_truth():
    months, n, folds, runs, rate = 6, 500, 64, 400, 0.006
    rates = [(0.02, 31.0, 4.0), (0.03, 30.0, 5.0)]
    t = np.arange(1, months + 1)
    net = [(1 - leaving) ** t * (pay - serve) for leaving, pay, serve in rates]
    true_gain = n * (net[0] - net[1]).sum()
    # The set-up cost is chosen so that the true net present value is 0: a loss and a win are equally near.
    upfront = n * float((net[0] - net[1]) @ (1 + rate) ** -t) - 50 * float(((1 + rate) ** -t).sum())
    stayed = n * ((0.98**t - 0.97**t) * 30).sum()
    rng, weights = np.random.default_rng(20), draws.with_plain(draws.group_weights(200, 3, folds))
    found = []
    for _ in range(runs):
        paths = simulated(rng, weights, n, months, rates)
        worth = cash_flows.worth_of(paths, Terms(upfront, 50.0, months, rate))
        gain, value = worth.benefit, worth.net_present_value
        part = n * cash_flows.channels(paths, None)["stayed longer"].sum(1)
        kept = draws.estimate(part[0], part[1:], paths.base, groups=folds)
        found.append(
            [gain.low <= true_gain <= gain.high, value.low <= 0 <= value.high, kept.low <= stayed <= kept.high,
             gain.value, worth.loss_probability < 0.05, worth.loss_probability > 0.95]
        )  # fmt: skip
    found = np.array(found, float)
    mean = found.mean(0)
    assert (np.abs(mean[:3] - 0.95) <= 0.03).all(), mean  # 2.75 standard errors of 400 runs
    assert abs(mean[3] - true_gain) < 3 * found[:, 3].std() / math.sqrt(runs)
    assert (np.abs(mean[4:] - 0.05) <= 0.03).all(), mean  # a chance of loss below 5 % is wrong about 1 time in 20
