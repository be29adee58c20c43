"""Present values, rates of return and conversions against published figures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib.stats.finance import (
    annual_from_monthly,
    annuity_value,
    discount_factors,
    discounted_payback,
    irr,
    npv,
    payback,
    per_period_rate,
    return_on_investment,
)


def test_npv_of_the_numpy_financial_reference_starts_now():
    assert npv(0.05, [-15000, 1500, 2500, 3500, 4500, 6000], "now") == pytest.approx(122.89, abs=0.005)


def test_npv_of_the_spreadsheet_references_starts_at_the_end_of_the_period():
    assert npv(0.10, [-10000, 3000, 4200, 6800], "end") == pytest.approx(1188.44, abs=0.005)
    assert npv(0.08, [8000, 9200, 10000, 12000, 14500], "end") - 40000 == pytest.approx(1922.06, abs=0.005)


@pytest.mark.parametrize(
    ("flows", "rate"),
    [
        ([-150000, 15000, 25000, 35000, 45000, 60000], 0.0524),
        ([-100, 0, 0, 74], -0.0955),
        ([-100, 39, 59, 55, 20], 0.28095),
        ([-100, 100, 0, 7], 0.0620585),
        ([-70000, 12000, 15000, 18000, 21000, 26000], 0.0866),
    ],
)
def test_irr_of_numpy_financial_and_spreadsheet_references(flows, rate):
    assert irr(flows) == pytest.approx(rate, abs=5e-5)


@given(rate=st.floats(-0.9, 5), later=st.lists(st.floats(0, 1e4), min_size=1, max_size=60).filter(lambda x: max(x) > 1))
@settings(max_examples=100, deadline=None)
def test_irr_gives_back_the_rate_that_priced_the_flows(rate, later):
    price = npv(rate, later, "end")
    assert irr([0, 0, -price, *later, 0]) == pytest.approx(rate, abs=1e-7)


@pytest.mark.parametrize(
    ("flows", "times"), [([-5, 10.5, 1, -8, 1], 3), ([-100, 100, 0, -7], 2), ([1, 2], 0), ([-1, -2], 0), ([0, 0], 0)]
)
def test_irr_refuses_flows_that_do_not_change_sign_once(flows, times):
    with pytest.raises(ValueError, match=f"change sign {times} times.*net present value"):
        irr(flows)


def test_flows_with_two_rates_of_return_or_none_are_refused():
    """Pump of Lorie & Savage 1955: 25 % and 400 %. Brealey, Myers & Allen ch. 5: 1,000, -3,000, 2,500 has none."""
    pump, never = [-1_600, 10_000, -10_000], [1_000, -3_000, 2_500]
    assert [npv(rate, pump, "now") for rate in (0.25, 4.0)] == pytest.approx([0, 0], abs=1e-9)
    assert min(npv(rate, never, "now") for rate in np.linspace(-0.9, 20, 2_000)) > 0
    for flows in (pump, never):
        with pytest.raises(ValueError, match="change sign 2 times"):
            irr(flows)


@pytest.mark.parametrize(
    ("flows", "periods"),
    [
        ([-100, 50, 100], 1.5),
        ([-1000, 400, 400, 400], 2.5),
        ([-100, 50, 50], 2),
        ([-0.3, 0.1, 0.1, 0.1], 3),
        ([-100, 20, 20], math.inf),
        ([0, -100, 50, 100], 2.5),
        ([50, 10], 0),
        ([50, -100], math.inf),
    ],
)
def test_payback(flows, periods):
    assert payback(flows) == pytest.approx(periods)
    assert discounted_payback(0, flows, "now") == pytest.approx(periods)


def test_discounted_payback_is_later_and_counts_from_now():
    # 60 / 1.1 = 54.55 and 60 / 1.21 = 49.59 against 100: within the second year, 45.45 of 49.59
    assert discounted_payback(0.1, [-100, 60, 60], "now") == pytest.approx(1 + 45.4545 / 49.5868, abs=1e-5)
    assert discounted_payback(0.1, [-100, 60, 60], "end") == pytest.approx(2 + 45.4545 / 49.5868, abs=1e-5)


def test_effective_and_nominal_rates_of_the_spreadsheet_reference():
    assert 4 * per_period_rate(0.053543, 4, "effective") == pytest.approx(0.05250032, abs=5e-9)
    assert (1 + per_period_rate(0.0525, 4, "nominal")) ** 4 - 1 == pytest.approx(0.0535427, abs=5e-8)


@given(rate=st.floats(-0.5, 2), periods=st.sampled_from([1, 4, 12, 52, 365]))
@settings(max_examples=50)
def test_effective_rate_compounds_back(rate, periods):
    assert (1 + per_period_rate(rate, periods, "effective")) ** periods == pytest.approx(1 + rate, rel=1e-10)


@pytest.mark.parametrize(
    ("first_flow", "periods", "value"),
    [("now", None, 366.67), ("renewal", None, 266.67), ("end", None, 333.33), ("now", 5, 292.06)],
)
def test_constant_retention_conventions_of_fader_and_hardie_note_24(first_flow, periods, value):
    assert annuity_value(100, 0.8, 0.1, first_flow, periods) == pytest.approx(value, abs=0.005)


def test_constant_retention_undiscounted_and_term_by_term():
    assert annuity_value(100, 0.8, 0, "now") == pytest.approx(500)
    survivors = 100 * 0.8 ** np.arange(24)
    for first_flow in ("now", "end"):
        assert annuity_value(100, 0.8, 0.1, first_flow, 24) == pytest.approx(npv(0.1, survivors, first_flow))
    assert annuity_value(100, 0.8, 0.1, "renewal", 24) == pytest.approx(npv(0.1, 0.8 * survivors, "end"))
    assert annuity_value(100, 1, 0, "now", 7) == pytest.approx(700)


def test_discount_factors_are_the_weights_of_npv():
    flows = np.array([-3.0, 1, 4, 1, 5])
    for first_flow, first in (("now", 1), ("end", 1 / 1.2)):
        factors = discount_factors(0.2, 5, first_flow)
        assert factors[0] == pytest.approx(first)
        assert factors @ flows == pytest.approx(npv(0.2, flows, first_flow))


def test_monthly_loss_is_not_multiplied_by_twelve():
    assert annual_from_monthly(0.02) == pytest.approx(1 - 0.98**12)
    assert annual_from_monthly(0.1) < 1
    assert annual_from_monthly(1) == 1


def test_return_on_investment_is_net_of_cost():
    assert return_on_investment(150, 100) == 0.5
    assert return_on_investment(0, 100) == -1


@pytest.mark.parametrize(
    "call",
    [
        lambda: npv(0.1, [1, 2], "later"),
        lambda: npv(-1, [1, 2], "now"),
        lambda: npv(0.1, [1, math.nan], "now"),
        lambda: npv(0.1, [], "now"),
        lambda: npv(math.nan, [1], "now"),
        lambda: per_period_rate(0.1, 12, "simple"),
        lambda: per_period_rate(0.1, 0, "nominal"),
        lambda: annual_from_monthly(2),
        lambda: annuity_value(100, 1, 0, "now"),
        lambda: annuity_value(100, 1.2, 0.5, "now"),
        lambda: annuity_value(100, 0.8, 0.1, "start"),
        lambda: annuity_value(100, 0.8, 0.1, "now", 2.5),
        lambda: discount_factors(0.1, -1, "now"),
        lambda: return_on_investment(10, 0),
        lambda: return_on_investment(10, -5),
    ],
)
def test_impossible_input_is_refused(call):
    with pytest.raises(ValueError, match=r"\w+ .*\w+"):
        call()


@pytest.mark.parametrize("call", [lambda: npv(0.1, [1]), lambda: per_period_rate(0.1, 12)])
def test_conventions_have_no_default(call):
    with pytest.raises(TypeError):
        call()
