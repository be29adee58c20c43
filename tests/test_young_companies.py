"""A company of a few days, or of a few customers, gets findings or reasons from every section, and sound intervals."""

from __future__ import annotations

import pytest

from cxlib import demo
from cxlib.churn import curves, hazard_ratios, renewals, retention, risk, tenure
from cxlib.intake.company import Company
from cxlib.overview import data_check, finance
from cxlib.roi import priorities, returns, sample_size, scenarios
from cxlib.scores import agreement, current, nonresponse, segments, support, trend
from cxlib.value import acquisition, buyers, by_score, concentration, contracts, forecast, upsell


def every_finding(company):
    found = [
        data_check.rows(company), data_check.set_aside(company), data_check.notes(company), data_check.coverage(company),
        data_check.questions(company), current.headline(company), current.distribution(company), trend.trend(company),
        trend.mix(company), trend.control(company), trend.early_warning(company), segments.differences(company),
        segments.agents(company), nonresponse.funnel(company), nonresponse.rates(company), nonresponse.weighted(company),
        nonresponse.comments(company), agreement.together(company), agreement.satisfied_leavers(company),
        agreement.composite(company), support.times(company), support.curve(company), support.closed_by_clock(company),
        support.first_contact(company), support.repeat_contacts(company), support.by_team(company),
        support.against(company, "csat"), support.against(company, "ces"), retention.rates(company),
        curves.by_score(company, minimum_events=5), hazard_ratios.ratios(company, minimum_events=5), curves.naive(company),
        *(f(company, minimum_events=5) for f in (curves.differences, curves.summaries, curves.kept, curves.exits)),
        *(f(company, minimum_events=5) for f in (hazard_ratios.periods, hazard_ratios.routes, hazard_ratios.delayed, hazard_ratios.adjusted)),
        *(f(company) for f in (risk.beyond, risk.signals, risk.calibration, risk.leakage, risk.summary)),
        *(f(company) for f in (retention.growth, retention.cohorts, retention.early, tenure.by_tenure, tenure.causes)),
        *(f(company) for f in (renewals.renewals, renewals.repurchase, renewals.between_purchases)),
        by_score.by_score(company), by_score.changes(company), by_score.beyond(company), by_score.paid_today(company), contracts.base(company),
        contracts.fits(company), forecast.base(company), concentration.grid(company), buyers.base(company, minimum_repeat_buyers=5),
        upsell.by_score(company), acquisition.acquisition(company),
    ]  # fmt: skip
    results = returns.results(company)
    found += [
        returns.summary(company, results),
        returns.statements(company, results),
        finance.one_screen(company, results),
    ]
    each = (
        returns.statement,
        returns.checks,
        returns.over_time,
        returns.finding,
        returns.adding_up,
        returns.needed,
        returns.sensitivity,
        returns.horizons,
    )
    found += [f(company, r) for r in results for f in each]
    found += [f(company, p) for p in returns.planned(company) for f in (scenarios.planned, sample_size.trial)]
    found += [scenarios.part_year(company, r.evidence) for r in returns.unfinished(results)]
    found += [priorities.ranked(company, returns.candidates(company, results)), priorities.cost_of_failure(company)]
    return found


@pytest.mark.parametrize("as_of", ["2022-07-03", "2022-08-31", "2025-06-30"])
@pytest.mark.parametrize("shape", ["demo", "demo-shop"])
def test_a_young_or_small_company_gets_findings_or_reasons_and_sound_intervals(shape, as_of):
    made = demo.subscription(3, 250) if shape == "demo" else demo.shop(3, 150)
    if shape == "demo-shop" and as_of < "2024-07-10":
        pytest.skip("the shop has not opened yet")
    if "initiatives" in made:  # on that day nobody had put down what was to come
        made["initiatives"] = made["initiatives"].query("started_on <= @as_of or status == 'planned'")
    company = Company.from_frames(demo.settings(shape, draws=60, as_of=as_of), made)
    for finding in every_finding(company):
        assert finding.sentence
        for figure in finding.figures:
            row = figure.row()
            assert row["low"] is None or row["low"] <= row["value"] <= row["high"], figure
