"""Three companies' own exports, each with nothing but a company.yaml: what their pages say, and what they must not."""

from __future__ import annotations

import net
import pytest

from cxlib.churn import curves, hazard_ratios
from cxlib.overview import data_check
from cxlib.roi import returns
from cxlib.scores import agreement, current, nonresponse, segments, support, trend
from cxlib.value import buyers, by_score

pytestmark = pytest.mark.skipif(
    not net.EXPORTS.exists(), reason="the exports of the three companies are not beside the project"
)


def numbers(finding):
    return {f.name: f.estimate for f in finding.figures}


@pytest.fixture(scope="module")
def garden():
    return net.opened(net.COMPANIES["nps_fr"])


@pytest.fixture(scope="module")
def marketplace():
    return net.opened(net.COMPANIES["olist"])


@pytest.fixture(scope="module")
def software():
    return net.opened(net.COMPANIES["ravenstack"])


def test_garden_centres_nps_is_53_42_over_13612_answers(garden):
    found = numbers(current.headline(garden))["nps"]
    assert round(found.value, 2) == 53.42
    assert round(found.se, 3) == 0.558
    assert found.n == 13_612
    assert current.headline(garden).headline.startswith("NPS is 53.4 (52.3–54.5)")


def test_garden_centres_set_nothing_aside_and_say_what_has_no_date(garden):
    assert len(garden.set_aside) == 0
    assert data_check.rows(garden).facts["aside"] == 0
    assert numbers(nonresponse.rates(garden))["nps-response-rate"].value == pytest.approx(13_612 / 13_954)
    for found in (curves.by_score(garden), hazard_ratios.ratios(garden), by_score.by_score(garden)):
        assert not found.answered
    assert "no dates" in curves.by_score(garden).headline


def test_garden_centres_detractors_comment_twice_as_often_as_promoters(garden):
    found = nonresponse.comments(garden, "nps")
    share = found.table.set_index("band")["value"].round(2).to_dict()
    assert (share["detractor"], share["promoter"]) == (0.52, 0.25)


def test_garden_centres_without_dates_get_no_trend_and_bounds_without_weights(garden):
    for found in (trend.trend(garden), trend.control(garden), trend.early_warning(garden)):
        assert not found.answered
        assert "no dates" in found.headline
    assert nonresponse.weighted(garden).answered
    assert numbers(agreement.together(garden))["together-nps-csat"].value > 0.5


def test_marketplace_late_deliveries_score_2_50_against_4_28(marketplace):
    shown = segments.differences(marketplace, "csat", 120).table.set_index(["segment", "level"])
    assert round(shown.loc[("late", "yes"), "value"], 2) == 2.50
    assert round(shown.loc[("late", "no"), "value"], 2) == 4.28
    assert shown.loc[("late", "yes"), "differs"]
    assert shown.loc[("late", "yes"), "n"] == 419  # 418 delivered orders, and one that was cancelled later


def test_marketplace_knows_nothing_of_the_silent_and_has_no_cases(marketplace):
    for found in (nonresponse.rates(marketplace), nonresponse.weighted(marketplace), support.times(marketplace)):
        assert not found.answered
    assert "no contacts table" in support.times(marketplace).headline


def test_marketplace_says_its_mean_review_raw_and_weighted(marketplace):
    (said,) = current.headline(marketplace).facts["scores"]
    assert (round(said["unweighted"], 2), round(said["weighted"], 2)) == (3.27, 4.07)
    assert current.headline(marketplace).table["n"].max() == 8_225


def test_marketplace_says_73_repeat_buyers_are_too_few(marketplace):
    for found in (curves.by_score(marketplace), by_score.by_score(marketplace), buyers.base(marketplace)):
        assert not found.answered
        assert "73 repeat buyers" in " ".join(found.texts)


def test_marketplace_has_no_initiative_and_says_so(marketplace):
    assert "no initiatives table" in returns.summary(marketplace, returns.results(marketplace)).headline


def test_software_company_shows_old_tickets_and_two_definitions_of_leaving(software):
    aside = software.set_aside.set_index(["table", "reason"])["rows"]
    assert aside["contacts", "opened before the customer joined"] == 1_077
    notes = " ".join(software.notes["detail"])
    assert "352 customers have a left_on, 110 are flagged as left" in notes
    assert "352 customers have a left_on" in " ".join(data_check.notes(software).caveats)


def test_software_company_finds_no_detectable_link_from_csat_to_leaving(software):
    ratios = hazard_ratios.ratios(software)
    assert ratios.answered
    assert not any(f.estimate.excludes(1) for f in ratios.figures if "ratio" in f.name)
    assert curves.by_score(software).facts["detected"] is False
    assert not by_score.by_score(software).figures[0].estimate.excludes(0)


def test_software_companys_csat_does_not_go_with_its_response_times(software):
    found = support.against(software, "csat")
    assert found.answered
    assert not any(f.estimate.excludes(0) for f in found.figures)
    assert trend.early_warning(software).table["falling"].sum() == 0
    assert not segments.differences(software).table["differs"].any()
