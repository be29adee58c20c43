"""Present values, payback and conversions of rates against published figures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib.stats.finance import discount_factors, npv, payback, per_period_rate, return_on_investment


def test_npv_of_the_numpy_financial_reference_starts_now():
    assert npv(0.05, [-15000, 1500, 2500, 3500, 4500, 6000], "now") == pytest.approx(122.89, abs=0.005)


def test_npv_of_the_spreadsheet_references_starts_at_the_end_of_the_period():
    assert npv(0.10, [-10000, 3000, 4200, 6800], "end") == pytest.approx(1188.44, abs=0.005)
    assert npv(0.08, [8000, 9200, 10000, 12000, 14500], "end") - 40000 == pytest.approx(1922.06, abs=0.005)


def test_flows_that_change_sign_twice_have_two_rates_of_value_0_or_none():
    """Pump of Lorie & Savage 1955: 25 % and 400 %. Brealey, Myers & Allen ch. 5: 1,000, -3,000, 2,500 has none."""
    pump, never = [-1_600, 10_000, -10_000], [1_000, -3_000, 2_500]
    assert [npv(rate, pump, "now") for rate in (0.25, 4.0)] == pytest.approx([0, 0], abs=1e-9)
    assert min(npv(rate, never, "now") for rate in np.linspace(-0.9, 20, 2_000)) > 0


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


def test_effective_and_nominal_rates_of_the_spreadsheet_reference():
    assert 4 * per_period_rate(0.053543, 4, "effective") == pytest.approx(0.05250032, abs=5e-9)
    assert (1 + per_period_rate(0.0525, 4, "nominal")) ** 4 - 1 == pytest.approx(0.0535427, abs=5e-8)


@given(rate=st.floats(-0.5, 2), periods=st.sampled_from([1, 4, 12, 52, 365]))
@settings(max_examples=50)
def test_effective_rate_compounds_back(rate, periods):
    assert (1 + per_period_rate(rate, periods, "effective")) ** periods == pytest.approx(1 + rate, rel=1e-10)


def test_discount_factors_are_the_weights_of_npv():
    flows = np.array([-3.0, 1, 4, 1, 5])
    for first_flow, first in (("now", 1), ("end", 1 / 1.2)):
        factors = discount_factors(0.2, 5, first_flow)
        assert factors[0] == pytest.approx(first)
        assert factors @ flows == pytest.approx(npv(0.2, flows, first_flow))


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
