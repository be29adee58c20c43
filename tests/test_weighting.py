"""Weights for non-respondents: published fits and tables, closed forms, people one by one, and known truth."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from cxlib.stats.weighting import (
    bounds,
    inverse_probability_weights,
    rake,
    response_model,
    silent_would_need,
)

pytestmark = pytest.mark.filterwarnings("error")


def cells_of(table, rows="row", columns="column", count="answered"):
    """Give a two-way table of counts as cells."""
    grid = [(i, j, n) for i, line in enumerate(table) for j, n in enumerate(line)]
    return pd.DataFrame(grid, columns=[rows, columns, count])


def simulated(seed=0, people=4_000):
    """People asked in cells of age, plan and fold, who answer by both age and plan."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.integers(0, k, people) for name, k in (("age", 3), ("plan", 4), ("fold", 25))})
    chance = 1 / (1 + np.exp(-(-0.5 + 0.6 * frame["age"] - 0.3 * frame["plan"])))
    frame["answered"] = (rng.random(people) < chance).astype(int)
    frame["asked"] = 1
    return frame


def grouped(people, by):
    return people.groupby(by)[["asked", "answered"]].sum().reset_index()


# who answers


def test_agresti_2002_azt_and_aids_symptoms_by_race():
    # Categorical Data Analysis, 2nd ed., section 5.4: 338 veterans; AZT -.7195, white .0555
    cells = pd.DataFrame(
        {
            "azt": ["yes", "no", "yes", "no"],
            "race": ["white", "white", "black", "black"],
            "asked": [107, 113, 63, 55],
            "answered": [14, 32, 11, 12],
        }
    )
    fitted, uncovered = response_model(cells, "asked", "answered", ["azt", "race"])
    logit = np.log(fitted / (1 - fitted))
    assert logit[0] - logit[1] == pytest.approx(-0.7195, abs=5e-5)
    assert logit[2] - logit[3] == pytest.approx(-0.7195, abs=5e-5)
    assert logit[0] - logit[2] == pytest.approx(0.0555, abs=5e-5)
    silent = cells["asked"] - cells["answered"]
    likelihood = cells["answered"] @ np.log(fitted) + silent @ np.log(1 - fitted)
    assert likelihood == pytest.approx(-167.5756, abs=5e-5)
    assert uncovered == 0


def test_counts_give_the_fit_of_people_one_by_one():
    people = simulated()
    cells = grouped(people, ["age", "plan", "fold"])
    fitted, _ = response_model(cells, "asked", "answered", ["age", "plan"])
    assert len(cells) > 250
    dummies = pd.get_dummies(people[["age", "plan"]].astype("category"), drop_first=True, dtype=float)
    peer = sm.Logit(people["answered"], sm.add_constant(dummies)).fit(disp=0, tol=1e-12)
    expected = people.assign(p=peer.predict()).groupby(["age", "plan", "fold"])["p"].first()
    assert fitted == pytest.approx(expected.to_numpy(), abs=1e-6)


def test_a_level_that_answers_as_one_leaves_the_others_as_they_are():
    cells = grouped(simulated(), ["age", "plan"])
    plain, uncovered = response_model(cells, "asked", "answered", ["age", "plan"])
    for extra, chance in ((0, 0.0), (9_000, 1.0)):
        more = pd.DataFrame({"age": [0, 2], "plan": [9, 9], "asked": 9_000, "answered": extra})
        fitted, uncovered = response_model(pd.concat([cells, more]), "asked", "answered", ["age", "plan"])
        assert fitted == pytest.approx([*plain, chance, chance], abs=1e-9)
        assert uncovered == (0 if extra else 18_000)


def test_separation_that_no_single_level_shows():
    # every row and column has answers and silence; yet lowering the constant and raising both effects gains for ever
    cells = cells_of([[0, 5], [3, 10]]).assign(asked=[8, 10, 8, 10])
    fitted, uncovered = response_model(cells, "asked", "answered", ["row", "column"])
    assert fitted == pytest.approx([0, 5 / 10, 3 / 8, 1], abs=1e-6)
    assert uncovered == 8


LEVEL, COUNT = st.integers(0, 2), st.integers(0, 6)
SMALL = st.lists(st.tuples(LEVEL, LEVEL, LEVEL, COUNT, COUNT), min_size=1, max_size=9)
SMALL = SMALL.filter(lambda rows: any(row[3] for row in rows))


@settings(max_examples=60)
@given(SMALL)
def test_the_fit_meets_the_answers_of_every_level_however_sparse_the_cells(rows):
    # the equations that mark the maximum, or the limit, of the likelihood of a logistic regression
    cells = pd.DataFrame(rows, columns=["a", "b", "c", "answered", "silent"]).assign(
        asked=lambda f: f["answered"] + f["silent"]
    )
    fitted, uncovered = response_model(cells, "asked", "answered", ["a", "b", "c"])
    cells["expected"] = np.where(cells["asked"] > 0, cells["asked"] * fitted, 0)
    for name in "abc":
        sums = cells.groupby(name)[["expected", "answered"]].sum()
        assert sums["expected"].to_numpy() == pytest.approx(sums["answered"].to_numpy(), abs=1e-8)
    assert (np.isnan(fitted) == (cells["asked"] == 0)).all()
    nobody = fitted < 1e-6
    assert not (cells["answered"][nobody] > 0).any()
    assert uncovered == cells["asked"][nobody].sum()


def test_a_predictor_that_repeats_another_changes_no_probability():
    cells = grouped(simulated(), ["age", "plan"]).assign(again=lambda f: f["plan"].map("plan {}".format))
    one, _ = response_model(cells, "asked", "answered", ["age", "plan"])
    two, _ = response_model(cells, "asked", "answered", ["age", "plan", "again"])
    assert two == pytest.approx(one, abs=1e-9)


def test_cells_without_people_a_single_level_and_no_predictor():
    size = pd.Categorical(["small", "large"] * 2, categories=["small", "large", "huge"])
    cells = pd.DataFrame({"size": size, "all": 1, "asked": [10, 0, 0, 30], "answered": [4, 0, 0, 9]})
    fitted, _ = response_model(cells, "asked", "answered", ["size", "all"])
    assert fitted == pytest.approx([0.4, math.nan, math.nan, 0.3], nan_ok=True)
    plain, _ = response_model(cells, "asked", "answered", [])
    assert plain[[0, 3]] == pytest.approx([13 / 40] * 2)


# weights


def test_inverse_probabilities_of_a_saturated_model_are_cell_weights():
    cells = grouped(simulated(), ["age", "plan"])
    cells["cell"] = cells["age"].astype(str) + cells["plan"].astype(str)
    fitted, _ = response_model(cells, "asked", "answered", ["cell"])
    weights, trimmed = inverse_probability_weights(fitted, cells["answered"], most=math.inf)
    by_hand = cells["asked"] / cells["answered"] * cells["answered"].sum() / cells["asked"].sum()
    assert weights == pytest.approx(by_hand.to_numpy())
    assert trimmed == 0
    assert rake(cells, "answered", {"cell": cells.set_index("cell")["asked"]}) == pytest.approx(weights)


def test_weights_above_a_multiple_of_the_median_are_cut_and_counted():
    probability, answered = np.array([0.5, 0.4, 0.05, 0.01, 0.0]), [50, 30, 15, 5, 0]
    found, trimmed = inverse_probability_weights(probability, answered, most=5)
    by_hand = np.array([2, 2.5, 10, 10, 0]) / (50 * 2 + 30 * 2.5 + 20 * 10) * 100  # median 2, so 10 is the most
    assert found == pytest.approx(by_hand)
    assert trimmed == 20
    assert inverse_probability_weights([0.5, 0.5], [3, 4], most=1)[1] == 0
    whole, trimmed = inverse_probability_weights(probability, answered, most=math.inf)
    assert trimmed == 0
    assert whole[:4] * probability[:4] == pytest.approx(np.full(4, 100 / (50 * 2 + 30 * 2.5 + 15 * 20 + 5 * 100)))


def test_weighting_by_what_drives_answering_undoes_its_bias():
    rng = np.random.default_rng(7)
    share, chance, level = np.array([0.2, 0.5, 0.3]), np.array([0.7, 0.4, 0.15]), np.array([2.0, 5.0, 9.0])
    truth, runs = share @ level, []
    for _ in range(200):
        asked = rng.multinomial(2_000, share)
        cells = pd.DataFrame({"x": range(3), "asked": asked, "answered": rng.binomial(asked, chance)})
        sums = cells["answered"] * level + rng.normal(0, 2 * np.sqrt(cells["answered"]))
        fitted, _ = response_model(cells, "asked", "answered", ["x"])
        w = inverse_probability_weights(fitted, cells["answered"])[0]
        runs.append((sums.sum() / cells["answered"].sum(), w @ sums / (w @ cells["answered"])))
    runs = np.array(runs)
    raw, weighted = runs.mean(axis=0)
    assert abs(weighted - truth) < 3 * runs[:, 1].std() / math.sqrt(len(runs))
    assert raw == pytest.approx(share * chance @ level / (share @ chance), abs=0.02)
    assert truth - raw > 1


WEIGHTED = st.lists(st.tuples(st.floats(0.01, 1), st.integers(0, 50)), min_size=1, max_size=8).filter(
    lambda cells: any(n for _, n in cells)
)


@settings(max_examples=100)
@given(WEIGHTED, st.sampled_from([1.0, 3.0, math.inf]))
def test_weights_are_positive_and_average_one(cells, most):
    probability, n = np.array(cells).T
    weight = inverse_probability_weights(probability, n, most)[0]
    assert ((weight > 0) == (n > 0)).all()
    assert n @ weight == pytest.approx(n.sum())


# known totals


def test_raking_of_a_table_to_new_totals():
    # worked example of the ProportionalFitting package (Julia), its result printed to six digits
    seed = [[40, 30, 20, 10], [35, 50, 100, 75], [30, 80, 70, 120], [20, 30, 40, 50]]
    fitted = [
        [64.5585, 46.2325, 35.3843, 3.82473],
        [49.9679, 68.1594, 156.499, 25.3742],
        [56.7219, 144.428, 145.082, 53.7673],
        [28.7516, 41.18, 63.0347, 17.0337],
    ]
    cells = cells_of(seed)
    margins = {"row": dict(enumerate([150, 300, 400, 150])), "column": dict(enumerate([200, 300, 400, 100]))}
    found = rake(cells, "answered", margins) * cells["answered"] * 1_000 / cells["answered"].sum()
    assert found.to_numpy() == pytest.approx(np.ravel(fitted), rel=5e-6)


def test_bishop_fienberg_and_holland_1975_women_by_age_and_marital_status():
    # Discrete Multivariate Analysis, as in example 9.14 of the SAS/IML user's guide: a cell is 0
    seed = [[1306, 83, 0], [619, 765, 3], [263, 1194, 9], [173, 1372, 28], [171, 1393, 51], [159, 1372, 81],
            [208, 1350, 108], [1116, 4100, 2329]]  # fmt: skip
    ages = pd.Series([1412, 1402, 1450, 1541, 1681, 1532, 1662, 7644])
    cells = cells_of(seed, "age", "status")
    weights = rake(cells, "answered", {"age": ages, "status": pd.Series([3988, 11702, 2634])})
    found = (weights * cells["answered"]).to_numpy().reshape(8, 3) * ages.sum() / cells["answered"].sum()
    assert found[0] == pytest.approx([1325.27, 86.73, 0], abs=0.005)
    assert found.sum(axis=1) == pytest.approx(ages.to_numpy(), abs=1e-5)
    assert found.sum(axis=0) == pytest.approx([3988, 11702, 2634], abs=1e-5)
    later, before = found[1:], np.array(seed, dtype=float)[1:]
    for table in (later, before):
        table /= table[:, :1]
    assert later / later[0] == pytest.approx(before / before[0])  # every odds ratio as it was


@pytest.mark.parametrize("seed", [[[10, 20], [30, 60]], [[40, 10], [5, 45]], [[1, 30], [25, 2]]])
def test_two_by_two_has_a_closed_form(seed):
    row, column = 0.3, 0.45
    odds = seed[0][0] * seed[1][1] / seed[0][1] / seed[1][0]
    if odds == 1:
        corner = row * column
    else:  # the root of the quadratic that keeps the odds ratio: Plackett 1965, JASA 60
        b = 1 + (row + column) * (odds - 1)
        corner = (b - math.sqrt(b**2 - 4 * odds * (odds - 1) * row * column)) / 2 / (odds - 1)
    cells = cells_of(seed)
    weights = rake(cells, "answered", {"row": {0: row, 1: 1 - row}, "column": {0: column, 1: 1 - column}})
    expected = [corner, row - corner, column - corner, 1 - row - column + corner]
    found = weights * cells["answered"] / cells["answered"].sum()
    assert found.to_numpy() == pytest.approx(np.array(expected), abs=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_raking_meets_every_margin_by_one_factor_per_level(seed):
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product([range(3), range(2), range(4)], names=["a", "b", "c"]).to_frame(index=False)
    cells = grid.assign(answered=rng.integers(1, 60, len(grid)))
    margins = {name: pd.Series(rng.dirichlet(np.full(k, 3.0) + 2)) for name, k in (("a", 3), ("b", 2), ("c", 4))}
    weights = rake(cells, "answered", margins)
    assert (weights > 0).all()
    assert weights @ cells["answered"] == pytest.approx(cells["answered"].sum())
    for name, shares in margins.items():
        met = (weights * cells["answered"]).groupby(cells[name]).sum() / cells["answered"].sum()
        assert met.to_numpy() == pytest.approx(shares.to_numpy(), abs=1e-8)
    logs = np.log(weights).reshape(3, 2, 4)
    logs -= logs.mean()
    factors = [logs.mean(axis=others, keepdims=True) for others in ((1, 2), (0, 2), (0, 1))]
    assert logs == pytest.approx(sum(factors), abs=1e-9)


def test_one_margin_is_post_stratification_whether_in_people_or_shares():
    cells = pd.DataFrame({"x": ["a", "a", "b", "c"], "y": [1, 2, 1, 1], "answered": [10, 20, 50, 0]})
    by_hand = [0.6 / (30 / 80)] * 2 + [0.4 / (50 / 80), 0]
    assert rake(cells, "answered", {"x": {"a": 300, "b": 200}}) == pytest.approx(by_hand)
    assert rake(cells, "answered", {"x": pd.Series({"b": 0.4, "a": 0.6, "c": 0.0})}) == pytest.approx(by_hand)
    both = rake(cells, "answered", {"x": {"a": 300, "b": 200}, "y": {1: 0.8, 2: 0.2}})
    assert both @ (cells["answered"] * (cells["y"] == 1)) == pytest.approx(0.8 * 80)


# no assumption


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=30))
def test_bounds_hold_the_truth_whoever_did_not_answer(people):
    scores, answered = np.array(people, dtype=float).T
    total, n, asked = float(scores @ answered), float(answered.sum()), len(people)
    low, high = bounds(total, n, asked, 0, 10)
    assert low - 1e-9 <= scores.mean() <= high + 1e-9
    assert high - low == pytest.approx(10 * (asked - n) / asked)
    if n:
        assert low - 1e-9 <= total / n <= high + 1e-9
    if n < asked:
        needed = silent_would_need(total, n, asked, scores.mean())
        assert needed == pytest.approx(scores[answered == 0].mean(), abs=1e-9)
        assert silent_would_need(total, n, asked, low) == pytest.approx(0, abs=1e-9)


def test_bounds_and_the_tipping_point_by_hand():
    # 30 of 100 answered, net score 40: the whole lies between -58 and 82, and 0 needs -17 1/7 from the silent
    assert bounds(30 * 40, 30, 100, -100, 100) == (-58, 82)
    assert silent_would_need(30 * 40, 30, 100, 0) == pytest.approx(-120 / 7)
    assert bounds(1_200, 30, 30, -100, 100) == (40, 40)
    assert math.isnan(silent_would_need(1_200, 30, 30, 0))


# what is refused


CELLS = pd.DataFrame({"x": ["a", "a", "b"], "y": ["u", "v", "u"], "asked": [9, 9, 9], "answered": [3, 4, 5]})


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ({"x": {"a": 10, "b": 20, "c": 5}}, "x: give a total above 0 for each level with answers"),
        ({"x": {"a": 10}}, "and for no other"),
        ({"x": {"a": 10, "b": 0}}, "and for no other"),
        ({"x": {"a": -1, "b": 4}}, "above 0"),
        ({"x": {"a": math.nan, "b": 4}}, "above 0"),
        ({"x": {"a": 0.5, "b": 0.5}, "y": {"u": 0.4, "v": 0.6}}, "x, y are not met after 10,000 rounds"),
    ],
)
def test_impossible_margins_are_refused(margins, message):
    # b has answers only with u, so at least the share of b must be u
    with pytest.raises(ValueError, match=message):
        rake(CELLS, "answered", margins)


def test_a_level_with_people_but_no_answers_is_to_be_merged():
    with pytest.raises(ValueError, match="x: give a total"):
        rake(CELLS.assign(answered=[3, 4, 0]), "answered", {"x": {"a": 18, "b": 9}})
