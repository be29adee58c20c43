"""A company of a few days, or of a few customers, gets findings or reasons from every section, and sound intervals."""

from __future__ import annotations

import pytest

from cxlib import (
    agreement,
    buying,
    churn,
    concentration,
    contracts,
    data_check,
    demo,
    finance,
    forecast,
    hazards,
    movement,
    newcomers,
    priorities,
    renewals,
    retention,
    risk,
    roi,
    scenarios,
    scores,
    silence,
    support,
    tenure,
    trials,
    upsell,
    value,
)
from cxlib.intake.company import Company


def every_finding(company):
    found = [
        data_check.rows(company), data_check.set_aside(company), data_check.notes(company), data_check.coverage(company),
        data_check.questions(company), scores.headline(company), scores.distribution(company), movement.trend(company),
        movement.mix(company), movement.control(company), movement.early_warning(company), scores.differences(company),
        scores.agents(company), silence.funnel(company), silence.rates(company), silence.weighted(company),
        silence.comments(company), agreement.together(company), agreement.satisfied_leavers(company),
        agreement.composite(company), support.times(company), support.curve(company), support.closed_by_clock(company),
        support.first_contact(company), support.repeat_contacts(company), support.by_team(company),
        support.against(company, "csat"), support.against(company, "ces"), retention.rates(company),
        churn.by_score(company, minimum_events=5), hazards.ratios(company, minimum_events=5), churn.naive(company),
        *(f(company, minimum_events=5) for f in (churn.differences, churn.summaries, churn.kept, churn.exits)),
        *(f(company, minimum_events=5) for f in (hazards.periods, hazards.routes, hazards.delayed, hazards.adjusted)),
        *(f(company) for f in (risk.beyond, risk.signals, risk.calibration, risk.leakage, risk.summary)),
        *(f(company) for f in (retention.growth, retention.cohorts, retention.early, tenure.by_tenure, tenure.causes)),
        *(f(company) for f in (renewals.renewals, renewals.repurchase, renewals.between_purchases)),
        value.by_score(company), value.changes(company), value.beyond(company), value.paid_today(company), contracts.base(company),
        contracts.fits(company), forecast.base(company), concentration.grid(company), buying.base(company, minimum_repeat_buyers=5),
        upsell.by_score(company), newcomers.acquisition(company),
    ]  # fmt: skip
    results = roi.results(company)
    found += [roi.summary(company, results), roi.statements(company, results), finance.one_screen(company, results)]
    each = (
        roi.statement,
        roi.checks,
        roi.over_time,
        roi.finding,
        roi.adding_up,
        roi.needed,
        roi.sensitivity,
        roi.horizons,
    )
    found += [f(company, r) for r in results for f in each]
    found += [f(company, p) for p in roi.planned(company) for f in (scenarios.planned, trials.trial)]
    found += [scenarios.part_year(company, r.evidence) for r in roi.unfinished(results)]
    found += [priorities.ranked(company, roi.candidates(company, results)), priorities.cost_of_failure(company)]
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
