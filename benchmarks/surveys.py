"""Do the intervals of scores cover the truth, does weighting reduce non-response bias, how often are alarms false?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import optimize, stats

from benchmarks.simulation import simulate

SIZES = (5, 10, 20, 50, 100, 250, 1000, 5000)
SCORES = (-90, -50, -20, 0, 20, 50, 75, 95)
SPREADS = (1.5, 2.2, 3.0)  # standard deviations of the opinion behind answers, in points of the scale
SURVEYS = 10_000


def _shares(score: float, spread: float) -> np.ndarray:
    """Return the shares of detractors, passives and promoters with an NPS of ``score``; answers are rounded normals."""

    def at(mean: float) -> np.ndarray:
        below = stats.norm.cdf((np.array([6.5, 8.5]) - mean) / spread)
        return np.array([below[0], below[1] - below[0], 1 - below[1]])

    return at(optimize.brentq(lambda mean: 100 * (at(mean)[2] - at(mean)[0]) - score, -30, 50))


def _covered(surveys: np.ndarray, score: float) -> dict[str, float]:
    """Return the share of surveys (rows of three counts) whose interval contains the true score, by interval."""
    from cxlib.stats import intervals

    distinct, times = np.unique(surveys, axis=0, return_counts=True)
    found = [intervals.nps(*map(int, counts)) for counts in distinct]
    ours = np.array([e.low - 1e-9 <= score <= e.high + 1e-9 for e in found])
    share = distinct / distinct.sum(axis=1, keepdims=True)
    net = share[:, 2] - share[:, 0]
    reach = 1.959964 * np.sqrt((share[:, 2] + share[:, 0] - net**2) / distinct.sum(axis=1))
    wald = np.abs(100 * net - score) <= 100 * reach + 1e-9
    return {"ours": float(times @ ours / times.sum()), "wald": float(times @ wald / times.sum())}


def nps_coverage(seed: int = 1) -> pd.DataFrame:
    """Return by size, true NPS and spread the share of simulated surveys whose interval contains the truth."""
    rng, rows = np.random.default_rng(seed), []
    for n in SIZES:
        for score in SCORES:
            for spread in SPREADS:
                surveys = rng.multinomial(n, _shares(score, spread), size=SURVEYS)
                rows.append({"n": n, "NPS": score, "spread": spread} | _covered(surveys, score))
    return pd.DataFrame(rows)


def hardest(seed: int = 1) -> float:
    """Return the coverage with five answers from a population without detractors, three quarters of it promoters."""
    surveys = np.random.default_rng(seed).multinomial(5, [0, 0.25, 0.75], size=SURVEYS)
    return _covered(surveys, 75)["ours"]


def nps_table(coverage: pd.DataFrame) -> pd.DataFrame:
    """Return the coverage by survey size: mean and lowest over all true scores, next to that of plain Wald."""
    by = coverage.groupby("n")
    frame = pd.DataFrame(
        {
            "answers": [f"{n:,}" for n in by.groups],
            "settings": [str(len(g)) for _, g in by],
            "adjusted Wald (default)": by["ours"].mean().to_numpy(),
            "its lowest": by["ours"].min().to_numpy(),
            "plain Wald": by["wald"].mean().to_numpy(),
            "plain Wald's lowest": by["wald"].min().to_numpy(),
        }
    )
    every = ["all", str(len(coverage))]
    every += [f(coverage[m]) for m in ("ours", "wald") for f in (np.mean, np.min)]
    frame.loc[len(frame)] = every
    return frame


def clustered_coverage(surveys: int = 1000, seed: int = 2) -> pd.DataFrame:
    """Return the coverage with five correlated answers per customer, by number of customers and kind of interval."""
    from cxlib import demo
    from cxlib.intake.company import Company
    from cxlib.scores import estimates
    from cxlib.stats import intervals

    frames = {"customers": pd.DataFrame({"customer_id": ["a"]})}
    settings = {"name": "T", "as_of": "2024-12-31", "relationship": "contractual", "currency": "EUR"}
    settings["metrics"] = demo.settings("demo")["metrics"]
    company, rng, rows = Company.from_frames(settings, frames), np.random.default_rng(seed), []
    shared, own = np.sqrt(0.6), np.sqrt(0.4)
    everybody = np.clip(np.rint(7.4 + 2.2 * rng.standard_normal(4_000_000)), 0, 10)
    truth = {"nps": 100 * float((everybody >= 9).mean() - (everybody <= 6).mean()), "mean": float(everybody.mean())}
    for customers in (60, 200, 1000):
        held = dict.fromkeys([("nps", True), ("nps", False), ("mean", True), ("mean", False)], 0)
        for _ in range(surveys):
            feeling = shared * rng.standard_normal((customers, 1)) + own * rng.standard_normal((customers, 5))
            given = np.clip(np.rint(7.4 + 2.2 * feeling), 0, 10)
            fold = np.broadcast_to(rng.integers(0, 256, (customers, 1)), given.shape)
            counted = (
                pd.DataFrame({"score": given.ravel(), "fold": fold.ravel()}).value_counts().rename("n").reset_index()
            )
            counted["weight"] = counted["n"].astype(float)
            naive = {
                "nps": intervals.nps((given <= 6).sum(), ((given > 6) & (given < 9)).sum(), (given >= 9).sum()),
                "mean": intervals.mean(given.ravel(), low=0, high=10),
            }
            for kind, true in truth.items():
                for ours, e in ((True, estimates.estimate(company, "nps", counted, kind)), (False, naive[kind])):
                    held[kind, ours] += e.low <= true <= e.high
        for kind in truth:
            rows.append(
                {
                    "customers": f"{customers:,}",
                    "statistic": "NPS" if kind == "nps" else "mean",
                    "ours, folds": held[kind, True] / surveys,
                    "answers taken as independent": held[kind, False] / surveys,
                }
            )
    return pd.DataFrame(rows)


def _true_nps(seed: int, customers: int) -> float:
    """Return the NPS of all questions asked in the demo world, as if each had been answered."""
    from cxlib.demo import paths

    path = paths.simulate(seed, customers, paths.World())
    who, wave = np.nonzero(path.seen(path.asked))
    score = path.score[who, wave + 1]
    return 100 * float((score >= 9).mean() - (score <= 6).mean())


def nonresponse(seed: int) -> dict[str, float]:
    """Return the true NPS of everyone asked in one demo company, and the raw and the weighted estimate."""
    from cxlib import demo
    from cxlib.intake.company import Company
    from cxlib.scores.nonresponse import RAW, WEIGHTED, reweighted

    customers = 6000
    company = Company.from_frames(demo.settings("demo", draws=100), demo.subscription(seed, customers))
    found = {r["weights"]: r["estimate"].value for r in reweighted(company, "nps", rake=False).rows}
    return {"truth": _true_nps(seed, customers), "raw": found[RAW], "weighted": found[WEIGHTED]}


def nonresponse_table(companies: int) -> tuple[pd.DataFrame, float]:
    """Return the errors of raw and weighted NPS in so many demo companies, and the share where weighting is closer."""
    found = simulate(nonresponse, companies)
    rows = []
    for way in ("raw", "weighted"):
        off = found[way] - found["truth"]
        rows.append({"NPS": way, "mean error": off.mean(), "mean absolute error": off.abs().mean()})
    closer = ((found["weighted"] - found["truth"]).abs() < (found["raw"] - found["truth"]).abs()).mean()
    return pd.DataFrame(rows), float(closer)


def growing_company(seed: int, within: float = 0.0, customers: int = 6000) -> dict[str, pd.DataFrame]:
    """Return the tables of a company whose customers stay longer each year, while more and more join the cheap plan.

    Scores (0-10, mean about 5) rise with tenure and differ by plan, so the average moves though nobody's view changes.
    ``within``: by how many points the score of everybody changes on 1 January 2025.
    """
    rng = np.random.default_rng(seed)
    joined = np.sort(rng.integers(0, 5 * 365, customers))
    basic = rng.random(customers) < 0.2 + 0.6 * joined / joined.max()
    answers = []
    for wave in range(10):
        asked = joined + 60 + 182 * wave + rng.integers(0, 30, customers)
        feeling = 4.2 + 0.5 * (asked - joined) / 365 + 1.2 * ~basic + within * (asked >= 4 * 365 + 1)
        given = np.clip(np.rint(feeling + 1.2 * rng.standard_normal(customers)), 0, 10)
        answers.append(pd.DataFrame({"who": np.arange(customers), "asked": asked, "score": given}))
    rows = pd.concat(answers, ignore_index=True)
    rows = rows[(rows["asked"] < 5 * 365 + 1) & (rng.random(len(rows)) < 0.4)]
    start, ids = pd.Timestamp("2021-01-01"), np.array([f"G{i}" for i in range(customers)], dtype=object)
    when = start + pd.to_timedelta(rows["asked"].to_numpy(), unit="D")
    return {
        "customers": pd.DataFrame(
            {"customer_id": ids, "joined_on": start + pd.to_timedelta(joined, unit="D"),
             "plan": np.where(basic, "Basic", "Pro")}
        ),
        "responses": pd.DataFrame(
            {"response_id": [f"R{i}" for i in range(len(rows))], "customer_id": ids[rows["who"]], "metric": "csat",
             "asked_at": when, "answered_at": when, "score": rows["score"].to_numpy()}
        ),
    }  # fmt: skip


GROWING = {
    "name": "Growing", "relationship": "noncontractual", "inactive_after_days": 365, "currency": "EUR",
    "metrics": {"csat": {"scale": [0, 10], "good": "high"}}, "segments": ["plan"], "draws": 400, "as_of": "2025-12-31",
}  # fmt: skip


def decomposition(seed: int) -> dict[str, bool]:
    """Tell whether a change within is claimed where there is none, and whether a true one lies in the interval."""
    from cxlib.intake.company import Company
    from cxlib.scores import trend

    found = {}
    for within in (0.0, -0.3):
        parts = trend.mix(Company.from_frames(GROWING, growing_company(seed, within))).facts["of_rates"]
        found[str(within)] = parts.low <= within <= parts.high
    return {"claimed": not found["0.0"], "covered": found["-0.3"]}


def quiet_company(
    seed: int, autumn: float = 0.0, shocks: float = 0.0, customers: int = 4000
) -> dict[str, pd.DataFrame]:
    """Return the tables of a company in which nothing changes: three years of half-yearly NPS, three segments.

    ``autumn``: by how many points everybody is less content from October to December, each year alike; ``shocks``: the
    standard deviation in points of what moves everybody in a quarter.
    """
    rng = np.random.default_rng(seed)
    ids = np.array([f"Q{i}" for i in range(customers)], dtype=object)
    plan, region = rng.choice(["Basic", "Plus", "Pro"], customers, p=[0.5, 0.3, 0.2]), rng.integers(0, 8, customers)
    feeling = rng.standard_normal(customers) * 1.6 + 7.4 + 0.6 * (plan == "Pro")
    first, parts, shock = rng.integers(0, 182, customers), [], np.random.default_rng(seed + 1).normal(0, shocks, 13)
    for wave in range(6):
        asked = np.datetime64("2023-01-01") + (first + wave * 182).astype("timedelta64[D]")
        quarter = asked.astype("datetime64[M]").astype(int) // 3
        common = shock[quarter - 4 * (2023 - 1970)] - autumn * (quarter % 4 == 3)
        score = np.clip(np.rint(feeling + common + 1.4 * rng.standard_normal(customers)), 0, 10)
        given = rng.random(customers) < 0.45
        parts.append(pd.DataFrame({"customer_id": ids, "asked_at": asked, "score": np.where(given, score, np.nan)}))
    responses = pd.concat(parts, ignore_index=True)
    responses.insert(0, "response_id", [f"R{i}" for i in range(len(responses))])
    responses["metric"], responses["answered_at"] = "nps", responses["asked_at"].where(responses["score"].notna())
    responses["channel"] = rng.choice(["app", "email"], len(responses))
    regions = np.array([f"Region {r}" for r in region], dtype=object)
    return {
        "customers": pd.DataFrame({"customer_id": ids, "plan": plan, "region": regions}),
        "responses": responses,
    }


QUIET = {
    "name": "Quiet", "relationship": "noncontractual", "inactive_after_days": 365, "currency": "EUR",
    "metrics": {"nps": {"scale": [0, 10]}}, "segments": ["plan", "region"], "draws": 50, "as_of": "2025-12-31",
}  # fmt: skip
YEARS = {"quiet": {}, "autumn .3 lower": {"autumn": 0.3}, "autumn .5 lower": {"autumn": 0.5}, "shocks": {"shocks": 0.2}}


def alarms(seed: int) -> dict[str, bool]:
    """Tell, for each kind of YEARS, whether its last year has a false early warning, or a false control alarm."""
    from cxlib.intake.company import Company
    from cxlib.scores import trend

    rows = {}
    for kind, world in YEARS.items():
        company = Company.from_frames(QUIET, quiet_company(seed, **world))
        found = trend.watch(company, "nps")
        last_year = found[found["period"] >= "2025-01-01"]
        rows[f"{kind}, warning"] = bool(last_year["falling"].any())
        rows[f"{kind}, control"] = bool(trend.control(company).table["alarm"].any())
    return rows


def harbour(seed: int) -> dict[str, bool]:
    """Tell whether the early warning names the demo's worsening region before exits rise, and names any other."""
    from cxlib import demo
    from cxlib.intake.company import Company
    from cxlib.scores import trend

    as_of = "2025-09-30"
    company = Company.from_frames(
        demo.settings("demo", draws=50, as_of=as_of), demo.subscription(seed, 6000, as_of=as_of)
    )
    found = trend.early_warning(company).table
    named = set(found.loc[found["falling"], "level"])
    return {"harbour": "Harbour" in named, "others": bool(named - {"Harbour"})}
