"""Time and memory of the churn page, from files to tables, compared with lifelines on rows.

    python -m benchmarks.scale                100,000, a million and ten million customers; writes docs/scale.md
    python -m benchmarks.scale 20000          other sizes, as a trial; nothing is written

Each runs in its own process with two threads. Measured are its wall time, including the start, and its largest resident
memory. Both must give the same numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Only the standard library here: the memory of a child starts from that of its parent.
ROOT = Path(__file__).resolve().parent.parent
SIZES = (100_000, 1_000_000, 10_000_000)
ALWAYS_FINISHED = 1_000_000  # customers up to which lifelines may take as long as it needs
PATIENCE = 16  # for more customers, lifelines is stopped after this many times our time
THREADS = 2
ENGINE_MEMORY = "450MB"  # limit of our engine; with more it is faster
AS_OF = "2025-12-31"
DAYS = (91, 182, 365)  # after the answer, at which curves are compared
STAGES = (91, 365, 730)  # days as a customer at the answer that separate the strata of the curves
BANDS = ("detractor", "passive", "promoter")
ROBUST = False  # True: errors clustered by customer in lifelines too, which takes longer
CURVE_TOLERANCE, RATIO_TOLERANCE = 1e-9, 1e-6

COMPANY = f"""\
name: Scale
as_of: {AS_OF}
relationship: contractual
metrics: {{nps: {{scale: [0, 10]}}}}
segments: [plan, region]
sources:
  customers:
    file: customers.parquet
    columns: {{customer_id: customer_id, joined_on: joined_on, left_on: left_on, plan: plan, region: region}}
  responses:
    file: responses.parquet
    columns:
      {{response_id: response_id, customer_id: customer_id, metric: metric, asked_at: asked_at,
        answered_at: answered_at, score: score}}
"""


# ---- the files -------------------------------------------------------------------------------------------------------


def make(folder: Path, customers: int) -> dict[str, int]:
    """Write customers.parquet, responses.parquet and company.yaml; the same number of customers gives the same files.

    Up to five half-yearly questions each, 85 % answered; unhappy customers give lower scores and leave sooner.
    """
    import duckdb

    folder.mkdir(parents=True, exist_ok=True)
    people, questions = folder / "customers.parquet", folder / "responses.parquet"
    engine = duckdb.connect()
    engine.execute(f"SET threads = {THREADS}")
    engine.execute("CREATE MACRO luck(i, what) AS (hash(i, what) % 1000003 + 0.5) / 1000003")
    engine.execute(f"""
        COPY (
            SELECT customer_id, joined_on,
                   CASE WHEN joined_on + stay <= DATE '{AS_OF}' THEN joined_on + stay END AS left_on,
                   plan, region
            FROM (SELECT 'A' || lpad(i::VARCHAR, 9, '0') AS customer_id,
                         DATE '2019-01-01' + floor(2000 * luck(i, 'joined'))::INT AS joined_on,
                         1 + least(floor(-ln(luck(i, 'stay')) * 1600 * (0.5 + luck(i, 'feeling'))), 20000)::INT AS stay,
                         ['Basic', 'Plus', 'Pro'][1 + floor(3 * luck(i, 'plan'))::INT] AS plan,
                         ['N', 'S', 'E', 'W', 'NE', 'SE', 'NW', 'SW'][1 + floor(8 * luck(i, 'region'))::INT] AS region
                  FROM range({customers}) t(i))
        ) TO '{people}'""")
    engine.execute(f"""
        COPY (
            SELECT 'R' || lpad((5 * i + wave)::VARCHAR, 10, '0') AS response_id, customer_id, 'nps' AS metric,
                   day::TIMESTAMP AS asked_at,
                   CASE WHEN answered THEN day::TIMESTAMP + INTERVAL 1 DAY END AS answered_at,
                   CASE WHEN answered
                        THEN least(floor(11 * (luck(i, 'feeling') + luck(5 * i + wave, 'mood')) / 1.8), 10)::INT
                   END AS score
            FROM (SELECT i, wave, customer_id, left_on, luck(5 * i + wave, 'answer') < 0.85 AS answered,
                         joined_on + (85 + 182 * wave + floor(10 * luck(5 * i + wave, 'day')))::INT AS day
                  FROM (SELECT substr(customer_id, 2)::BIGINT AS i, * FROM '{people}'), range(5) t(wave))
            WHERE day < least(coalesce(left_on, DATE '{AS_OF}'), DATE '{AS_OF}' - 1)
        ) TO '{questions}'""")
    (folder / "company.yaml").write_text(COMPANY, encoding="utf-8")
    asked, answered = engine.execute(f"SELECT count(*), count(score) FROM '{questions}'").fetchone()
    return {"questions": asked, "answers": answered}


# ---- the analyses ----------------------------------------------------------------------------------------------------
# Each reports to ``done`` the step it has finished and the numbers that came out.


def ours(folder: Path, done: Callable[..., None]) -> None:
    """Open the company and ask it three questions."""
    from cxlib import open_company
    from cxlib.churn import curves, hazard_ratios
    from cxlib.counts.people import DAYS_A_MONTH

    company = open_company(folder)
    done("open")

    drawn = curves.by_score(company, "nps").table
    day = (drawn["months"] * DAYS_A_MONTH).round()
    at = drawn[day.isin(DAYS) & drawn["band"].isin(BANDS)]
    done("curves", {f"{b} {d:.0f}": v for b, d, v in zip(at["band"], day[at.index], at["value"], strict=True)})

    figures = hazard_ratios.ratios(company, "nps").figures
    done("ratios", {f.name.rpartition("-")[2]: f.estimate.value for f in figures})

    usual = curves.naive(company, "nps").table
    at = usual[(usual["months"] * DAYS_A_MONTH).round() == DAYS[-1]]
    done("usual curve", dict(zip(at["band"], at["value"], strict=True)))


def theirs(folder: Path, done: Callable[..., None]) -> None:
    """Give the same answers with pandas and lifelines on rows: few columns, ids as numbers, small types."""
    import numpy as np
    import pandas as pd
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from lifelines import CoxPHFitter, KaplanMeierFitter
    from lifelines.statistics import logrank_test

    def days(column) -> np.ndarray:
        """Return days since 1970 of an Arrow column; where a date is missing, a day that never comes."""
        return pc.fill_null(pc.cast(pc.cast(column, "date32"), "int32"), 99_999).to_numpy()

    people = pq.read_table(folder / "customers.parquet", read_dictionary=["plan", "region"])
    asked = pq.read_table(folder / "responses.parquet", columns=["customer_id", "asked_at", "answered_at", "score"])
    put, answered = days(asked["asked_at"]), asked["score"].is_valid().to_numpy()
    rows = pd.DataFrame(
        {
            "who": pc.index_in(asked["customer_id"], people["customer_id"].combine_chunks()).to_numpy(),
            "asked": put,
            "when": np.minimum(days(asked["answered_at"]), put + 99_999 * answered),
            "score": pc.cast(pc.fill_null(asked["score"], -1), "int8").to_numpy(),
        }
    )
    end = int(np.datetime64(AS_OF, "D").astype(int))
    joined, left = days(people["joined_on"]), days(people["left_on"])
    segments = people.select(["plan", "region"]).to_pandas()
    del people, asked, put, answered
    rows = rows.sort_values(["who", "asked"], ignore_index=True)
    who = rows["who"].to_numpy()
    rows["band"] = pd.cut(rows["score"], [-2, -1, 6, 8, 10], labels=["none", *BANDS])
    rows["left"] = left[who] <= end
    rows["last"] = np.minimum(left, end)[who]
    following = rows["asked"].shift(-1, fill_value=0).to_numpy()
    rows["until"] = np.where(np.append(who[1:], -1) == who, following, 99_999).astype("int32")
    followed = rows["last"] >= rows["when"]
    rows, who = rows[followed], who[followed]
    done("rows")

    rows["duration"] = (rows["last"] - rows["when"] + 1).astype("float32")
    stage = np.searchsorted(STAGES, (rows["when"] - joined[who]).to_numpy(), side="right").astype("int8")
    level = (stage * 3 + segments["plan"].cat.codes.to_numpy()[who]).astype("int8")
    mix = np.bincount(level) / len(level)
    found = {f"{b} {d}": 0.0 for b in BANDS for d in DAYS}
    for (band, cell), some in rows[["duration", "left"]].groupby([rows["band"], level], observed=True):
        curve = KaplanMeierFitter().fit(some["duration"], some["left"])
        if band in BANDS:
            for d, value in zip(DAYS, curve.predict(DAYS), strict=True):
                found[f"{band} {d}"] += float(mix[cell] * value)
    done("curves", found)
    rows = rows.drop(columns="duration")

    answered = (rows["score"] >= 0).to_numpy()
    rows, who = rows[answered], who[answered]
    final = np.append(who[1:] != who[:-1], True)
    spells = pd.DataFrame(
        {
            "start": (rows["when"] - joined[who]).astype("float32"),
            "stop": (np.minimum(rows["last"] + 1, rows["until"]) - joined[who]).astype("float32"),
            "event": rows["left"] & (rows["last"] + 1 <= rows["until"]),
            "detractor": (rows["band"] == "detractor").astype("float32"),
            "passive": (rows["band"] == "passive").astype("float32"),
            "plan": segments["plan"].cat.codes.to_numpy()[who],
            "region": segments["region"].cat.codes.to_numpy()[who],
        }
    )
    if ROBUST:
        spells["who"] = who
    last = rows.loc[final, ["band", "last", "left"]].assign(joined=joined[who[final]])
    del rows, who, stage, level, answered
    spells = spells[spells["stop"] > spells["start"]]
    how = {"cluster_col": "who"} if ROBUST else {}
    how["fit_options"] = {
        "step_size": 1.0,
        "precision": 1e-10,
    }  # full Newton steps; six digits are right
    model = CoxPHFitter().fit(spells, "stop", "event", entry_col="start", strata=["plan", "region"], **how)
    done("ratios", model.hazard_ratios_.astype(float).to_dict())
    del spells

    found, length = {}, last["last"] - last["joined"] + 1
    for band in BANDS:
        mine = last["band"] == band
        curve = KaplanMeierFitter().fit(length[mine], last.loc[mine, "left"])
        found[band] = float(curve.predict(DAYS[-1]))
    bad, good = last["band"] == BANDS[0], last["band"] == BANDS[-1]
    logrank_test(length[bad], length[good], last.loc[bad, "left"], last.loc[good, "left"])
    done("usual curve", found)


def usual(folder: Path, done: Callable[..., None]) -> None:
    """Start the same analysis as such scripts are usually written: whole tables merged, ids and dates as they come."""
    import numpy as np
    import pandas as pd
    from lifelines import CoxPHFitter, KaplanMeierFitter

    people, rows = (pd.read_parquet(folder / f"{name}.parquet") for name in ("customers", "responses"))
    people["joined_on"], people["left_on"] = pd.to_datetime(people["joined_on"]), pd.to_datetime(people["left_on"])
    end = pd.Timestamp(AS_OF)
    rows = rows.merge(people, on="customer_id")
    rows["when"] = rows["answered_at"].fillna(rows["asked_at"]).dt.normalize()
    rows["last"] = rows["left_on"].fillna(end)
    rows = rows[rows["last"] >= rows["when"]]
    rows["band"] = np.select([rows["score"] <= 6, rows["score"] <= 8, rows["score"] <= 10], BANDS, "none")
    done("rows")
    for __, some in rows.groupby("band"):
        KaplanMeierFitter().fit((some["last"] - some["when"]).dt.days + 1, some["left_on"].notna())
    done("curves")
    rows = rows.sort_values(["customer_id", "asked_at"])
    following = rows.groupby("customer_id")["asked_at"].shift(-1).dt.normalize()
    rows["start"] = (rows["when"] - rows["joined_on"]).dt.days
    ends, cut = (rows["last"] - rows["joined_on"]).dt.days + 1, (following - rows["joined_on"]).dt.days
    rows["stop"], rows["event"] = np.fmin(ends, cut), rows["left_on"].notna() & (ends <= cut.fillna(np.inf))
    rows["detractor"], rows["passive"] = rows["band"] == "detractor", rows["band"] == "passive"
    rows = rows[(rows["band"] != "none") & (rows["stop"] > rows["start"])]
    columns = ["start", "stop", "event", "detractor", "passive", "plan", "region"]
    CoxPHFitter().fit(rows[columns], "stop", "event", entry_col="start", strata=["plan", "region"])
    done("ratios")


# ---- measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """Time and memory of a process. ``stopped``: why it did not finish; ``steps``: seconds and numbers of each step."""

    seconds: float
    gigabytes: float
    steps: dict[str, dict]
    stopped: str = ""


def child(job: str, folder: Path, log: Path, customers: int) -> None:
    """Run one job in this process and write a line for each finished step."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    with contextlib.suppress(OSError):  # if memory runs out, this process must end, not the one that measures
        Path("/proc/self/oom_score_adj").write_text("1000")
    begun = time.monotonic()

    def done(step: str, numbers: dict[str, float] | None = None) -> None:
        nonlocal begun
        now = time.monotonic()
        with log.open("a") as out:
            out.write(json.dumps({"step": step, "seconds": now - begun, "numbers": numbers or {}}) + "\n")
        begun = now

    try:
        if job == "make":
            done("make", make(folder, customers))
        else:
            {"ours": ours, "theirs": theirs, "usual": usual}[job](folder, done)
    except MemoryError:  # end as if the system had done it
        os.kill(os.getpid(), signal.SIGKILL)


def measure(job: str, folder: Path, customers: int, at_most: float | None = None) -> Run:
    """Run a job in its own process and return its time and memory; it is stopped after ``at_most`` seconds."""
    log = folder / f"{job}.log"
    bounds = {f"{n}_NUM_THREADS": str(THREADS) for n in ("OMP", "OPENBLAS", "MKL")}
    bounds["CXLIB_MEMORY"] = ENGINE_MEMORY
    command = [sys.executable, "-m", "benchmarks.scale", "--job", job, str(folder), str(log), str(customers)]
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | bounds)
    patient = True
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if patient and at_most and time.monotonic() - begun > at_most:
            patient = False
            process.kill()
        time.sleep(0.02)
    seconds, code = time.monotonic() - begun, os.waitstatus_to_exitcode(status)
    process.returncode = code  # Popen did not notice the end
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    steps = {line.pop("step"): line for line in lines}
    stopped = ""
    if not patient:
        stopped = f"not finished after {seconds:,.0f} s"
    elif code == -signal.SIGKILL:
        stopped = f"out of memory after {seconds:,.0f} s"
    elif code:
        stopped = f"failed after {seconds:,.0f} s"
    unit = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss
    return Run(seconds, used.ru_maxrss * unit / 1e9, steps, stopped)


def differences(a: Run, b: Run) -> dict[str, float]:
    """Return by common step the largest difference between the numbers of two runs, for ratios the relative one."""
    found = {}
    for step in a.steps.keys() & b.steps.keys():
        one, other = a.steps[step]["numbers"], b.steps[step]["numbers"]
        if one.keys() != other.keys():
            raise ValueError(f"{step}: one run gives {sorted(one)}, the other {sorted(other)}")
        if one:
            scale = one if step == "ratios" else dict.fromkeys(one, 1.0)
            found[step] = max(abs(one[k] - other[k]) / scale[k] for k in one)
    return found


def compare(customers: int) -> dict[str, object]:
    """Make a company of this size; return its counts, the runs and their differences. ValueError if results differ."""
    with tempfile.TemporaryDirectory() as folder:
        made = measure("make", Path(folder), customers)
        if made.stopped:
            raise RuntimeError(f"Files for {customers:,} customers: {made.stopped}")
        mine = measure("ours", Path(folder), customers)
        patience = PATIENCE * mine.seconds if customers > ALWAYS_FINISHED else None
        rival = measure("theirs", Path(folder), customers, patience)
        loose = measure("usual", Path(folder), customers, max(3 * mine.seconds, 300))  # only for its memory
    found = {"customers": customers, **made.steps["make"]["numbers"], "ours": mine, "theirs": rival, "usual": loose}
    if mine.stopped or rival.stopped.startswith("failed"):
        raise RuntimeError(
            f"{customers:,} customers: ours {mine.stopped or 'done'}, lifelines {rival.stopped or 'done'}"
        )
    found["off"] = differences(mine, rival)
    for step, off in found["off"].items():
        if not off <= (RATIO_TOLERANCE if step == "ratios" else CURVE_TOLERANCE):
            raise ValueError(f"{customers:,} customers, {step}: ours and lifelines differ by {off:.2g}")
    return found


# ---- the report ------------------------------------------------------------------------------------------------------


def _cells(found: dict) -> list[str]:
    mine, rival, loose = found["ours"], found["theirs"], found["usual"]
    over, under = ("over ", "under ") if rival.stopped else ("", "")
    return [
        f"{found['customers']:,}",
        f"{found['answers']:,}",
        f"{mine.seconds:,.1f}",
        f"{mine.gigabytes:.2f}",
        rival.stopped or f"{rival.seconds:,.1f}",
        over + f"{rival.gigabytes:.2f}",
        over + f"{rival.seconds / mine.seconds:,.0f}",
        under + f"{100 * mine.gigabytes / rival.gigabytes:,.0f} %",
        f"over {loose.gigabytes:.2f}, {loose.stopped}" if loose.stopped else f"{loose.gigabytes:.2f}",
        ("under " if loose.stopped else "") + f"{100 * mine.gigabytes / loose.gigabytes:,.0f} %",
    ]


def _table(runs: list[dict]) -> str:
    head = [
        "customers",
        "answers",
        "ours, s",
        "GB",
        "lifelines, s",
        "GB",
        "times faster",
        "share of its memory",
        "usual script, GB",
        "share of that",
    ]
    lines = [head, ["---:"] * len(head), *map(_cells, runs)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _steps(run: Run) -> str:
    return ", ".join(f"{step} {line['seconds']:,.1f} s" for step, line in run.steps.items())


def report(runs: list[dict]) -> str:
    """Return the text of docs/scale.md."""
    from importlib.metadata import version

    machine = f"a machine with {os.cpu_count()} cores"
    errors = "standard errors clustered by customer" if ROBUST else "plain standard errors, which are faster"
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pandas", "lifelines"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    off = {step: max(r["off"].get(step, 0.0) for r in runs) for step in ("curves", "ratios", "usual curve")}
    unfinished = [f"{r['customers']:,} customers: {r['theirs'].stopped}" for r in runs if r["theirs"].stopped]
    halted = f" Stopped: {'; '.join(unfinished)}. The steps finished by then agreed." if unfinished else ""
    largest = max((r for r in runs if not r["theirs"].stopped), key=lambda r: r["customers"])
    return f"""# Time and memory by number of customers

Made by `python -m benchmarks.scale` in one run, on {machine} and {memory:.0f} GB of memory, with Python
{platform.python_version()}, {versions} and {THREADS} threads each.

Each run leads from two Parquet files (customers; half-yearly questions, 85 % of them answered) to three results. The
first is the share still here by score, with time from the answer, at one mix of plan and stage. The second is the
hazard ratio (start-stop rows, stratified by plan and region). The third is the usual curve from sign-up with its
log-rank test. Times are wall times of a whole process, including its start and the reading of files. Memory is the most
it held.

{_table(runs)}

Ours counts in the engine (limited to {ENGINE_MEMORY}) and fits counts. It also checks every row of the exports, and its
intervals allow for several answers from one customer. lifelines gets rows in a form that saves time and memory: only
the columns it needs, ids as numbers, small types, {errors}. Up to {ALWAYS_FINISHED:,} customers it runs to its end;
with more, it is stopped after {PATIENCE} times our time.{halted}

The last two columns compare memory. The usual script is the same analysis as such scripts are mostly written: whole
tables merged, ids and dates as they come. It is stopped after three times our time, but not before five minutes.

Both give the same numbers. The curves at {DAYS[0]}, {DAYS[1]} and {DAYS[2]} days differ by at most {off["curves"]:.1g},
the usual curve by {off["usual curve"]:.1g} and the ratios by a relative {off["ratios"]:.1g}.

Time by step with {largest["customers"]:,} customers. Ours: {_steps(largest["ours"])}. lifelines:
{_steps(largest["theirs"])}.
"""


def main(given: list[str]) -> int:
    """Measure the sizes given and print; with the default sizes, write docs/scale.md."""
    if given[:1] == ["--job"]:
        job, folder, log, customers = given[1:]
        child(job, Path(folder), Path(log), int(customers))
        return 0
    sizes, runs = tuple(int(n) for n in given) or SIZES, []
    for customers in sorted(sizes, reverse=True):  # the largest first, so that a failure comes early
        runs.insert(0, compare(customers))
        print(_table(runs[:1]), _steps(runs[0]["ours"]), _steps(runs[0]["theirs"]), sep="\n", flush=True)
        print(runs[0]["off"], flush=True)
    if sizes == SIZES:
        (ROOT / "docs" / "scale.md").write_text(report(runs), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
