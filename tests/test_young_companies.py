"""A company of a few days, or of a few customers, gets findings or reasons from every section, and sound intervals."""

from __future__ import annotations

import lint
import pytest

from cxlib import demo
from cxlib.churn import curves, hazard_ratios, renewals, retention, risk, tenure
from cxlib.intake.company import Company
from cxlib.overview import data_check
from cxlib.roi import one_screen, priorities, returns, sample_size, scenarios
from cxlib.scores import agreement, current, nonresponse, segments, support, trend
from cxlib.value import acquisition, buyers, by_score, concentration, contracts, forecast, upsell


def every_finding(company):
    one_each = (
        *(data_check.rows, data_check.set_aside, data_check.notes, data_check.coverage, data_check.questions),
        *(current.headline, current.distribution, segments.differences, segments.agents),
        *(trend.trend, trend.mix, trend.control, trend.early_warning),
        *(nonresponse.funnel, nonresponse.rates, nonresponse.weighted, nonresponse.comments),
        *(agreement.together, agreement.satisfied_leavers, agreement.composite),
        *(support.times, support.curve, support.closed_by_clock, support.first_contact, support.repeat_contacts),
        *(support.by_team, retention.rates, retention.growth, retention.cohorts, retention.early),
        *(tenure.by_tenure, tenure.causes, renewals.renewals, renewals.repurchase, renewals.between_purchases),
        *(risk.beyond, risk.signals, risk.calibration, risk.leakage, risk.summary),
        *(by_score.by_score, by_score.changes, by_score.beyond, by_score.paid_today),
        *(contracts.base, contracts.fits, contracts.lifetimes, contracts.shortcut, forecast.base, forecast.holdout),
        *(concentration.grid, concentration.curve, concentration.spread, concentration.at_risk),
        *(upsell.by_score, upsell.model, upsell.orders),
        *(acquisition.simple, acquisition.acquisition, acquisition.referrals),
    )
    with_few_events = (
        *(curves.by_score, curves.naive, curves.differences, curves.summaries, curves.kept, curves.exits),
        *(hazard_ratios.ratios, hazard_ratios.periods, hazard_ratios.routes, hazard_ratios.delayed),
        hazard_ratios.adjusted,
    )
    of_buyers = (
        buyers.base,
        buyers.models,
        buyers.tracking,
        buyers.by_frequency,
        buyers.lift,
        buyers.alive,
        buyers.spend,
    )
    found = [ask(company) for ask in one_each]
    found += [support.against(company, "csat"), support.against(company, "ces")]
    found += [ask(company, minimum_events=5) for ask in with_few_events]
    found += [ask(company, minimum_repeat_buyers=5) for ask in of_buyers]
    results = returns.results(company)
    found += [
        returns.summary(company, results),
        returns.statements(company, results),
        one_screen.one_screen(company, results),
    ]
    each = (
        returns.statement,
        returns.checks,
        returns.over_time,
        returns.payback,
        returns.adding_up,
        returns.needed,
        returns.sensitivity,
        returns.horizons,
    )
    found += [f(company, r) for r in results for f in each]
    found += [scenarios.planned(company, p, by_score=by_score.by_score) for p in returns.planned(company)]
    found += [sample_size.trial(company, p) for p in returns.planned(company)]
    found += [scenarios.part_year(company, r.evidence) for r in returns.unfinished(results)]
    candidates = returns.candidates(company, results, by_score.by_score)
    return [*found, priorities.ranked(company, candidates), priorities.cost_of_failure(company)]


@pytest.mark.parametrize(
    ("shape", "as_of"), [("demo", "2022-07-03"), ("demo", "2022-08-31"), ("demo-shop", "2025-06-30")]
)
def test_a_young_or_small_company_gets_findings_or_reasons_and_sound_intervals(shape, as_of):
    made = demo.subscription(3, 250) if shape == "demo" else demo.shop(3, 150)
    if "initiatives" in made:  # on that day nobody had put down what was to come
        made["initiatives"] = made["initiatives"].query("started_on <= @as_of or status == 'planned'")
    company = Company.from_frames(demo.settings(shape, draws=60, as_of=as_of), made)
    for finding in every_finding(company):
        assert not lint.faults(finding)
        for figure in finding.figures:
            row = figure.row()
            assert row["low"] is None or row["low"] <= row["value"] <= row["high"], figure
