"""Time the fit of BG/NBD here, in lifetimes and in pymc-marketing, and by number of customers.

    python -m benchmarks.buying                  CDNOW and up to ten million customers; writes docs/speed.md
    python -m benchmarks.buying 100000 1000000   other numbers of customers, as a trial; nothing is written

Each package runs in its own process and environment; those of the other packages are made once, in the user's cache
folder. All must find the same maximum, or there is nothing to compare.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Only the standard library here: the other environments have nothing but their own packages.
ROOT = Path(__file__).resolve().parent.parent
RIVALS = {
    "lifetimes": (
        "lifetimes==0.11.3", "numpy==1.26.4", "pandas==2.0.3", "scipy==1.11.4", "autograd==1.6.2", "setuptools<70",
    ),  # the last versions that lifetimes supports
    "pymc": (
        "pymc-marketing==0.19.2", "pymc==5.28.5", "pytensor==2.38.3", "numpy==2.4.6", "pandas==3.1.1", "scipy==1.17.1",
        "arviz==0.23.4", "numba==0.65.1", "xarray==2026.9.0",
    ),
}  # fmt: skip
SIZES = (100_000, 10_000_000)
WORLD = (0.243, 4.414 * 7, 0.793, 2.426)  # r, alpha (days), a, b of the simulated customers, close to CDNOW's
WINDOW = 730  # days over which they joined
FITS = 6  # for each number of customers
DIGITS = 1e-3  # relative difference of parameters and difference of log-likelihoods that are allowed
GOALS = {"lifetimes": 5, "pymc": 100, "size": 4}  # times faster than, times faster than, times the smallest size


# ---- the packages: fit once and return parameters r, alpha, a, b -----------------------------------------------------


def _ours(rows, collapsed: bool) -> Callable[[], list[float]]:
    import numpy as np

    from cxlib.stats.repeat_buying import BetaGeoNBD

    rows, n = np.unique(rows, axis=0, return_counts=True) if collapsed else (rows, np.ones(len(rows)))
    return lambda: BetaGeoNBD().fit(*rows.T, weights=n).params.tolist()


def _lifetimes(rows) -> Callable[[], list[float]]:
    from lifetimes import BetaGeoFitter

    return lambda: BetaGeoFitter().fit(*rows.T).params_[["r", "alpha", "a", "b"]].tolist()


def _pymc(rows, flat: bool) -> Callable[[], list[float]]:
    import logging
    import warnings

    warnings.simplefilter("ignore")
    import pandas as pd
    from pymc_marketing.clv import BetaGeoModel
    from pymc_marketing.prior import Prior

    logging.disable()
    data = pd.DataFrame(rows, columns=["frequency", "recency", "T"]).assign(customer_id=range(len(rows)))
    priors = {name: Prior("HalfFlat") for name in ("r", "alpha", "a", "b")} if flat else None

    def fit() -> list[float]:
        model = BetaGeoModel(data=data, model_config=priors)
        model.fit(method="map", progressbar=False)
        return [float(model.fit_result[name].squeeze()) for name in ("r", "alpha", "a", "b")]

    return fit


WAYS = {  # name: label, environment, number of later fits, what makes the fit
    "counts": ("ours, from counts", "ours", 25, lambda rows: _ours(rows, collapsed=True)),
    "rows": ("ours, from rows", "ours", 25, lambda rows: _ours(rows, collapsed=False)),
    "lifetimes": ("lifetimes 0.11.3", "lifetimes", 9, _lifetimes),
    "pymc": ("pymc-marketing 0.19.2, MAP, default priors", "pymc", 2, lambda rows: _pymc(rows, flat=False)),
    "flat": ("pymc-marketing 0.19.2, MAP, flat priors", "pymc", 2, lambda rows: _pymc(rows, flat=True)),
}


def log_likelihood(params: list[float], rows) -> float:
    """Return the BG/NBD log-likelihood in the form of Fader, Hardie & Lee (2005), the same for all packages."""
    import numpy as np
    from scipy.special import betaln, gammaln

    r, alpha, a, b = params
    x, recency, age = rows.T
    stays = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    gone = betaln(a + 1, b + np.fmax(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + recency)
    both = np.logaddexp(stays, np.where(x > 0, gone, -np.inf))
    return float((gammaln(r + x) - gammaln(r) + r * np.log(alpha) + both).sum())


def fit_cdnow(way: str, data: Path) -> dict[str, object]:
    """Fit CDNOW several times in one way; return seconds, parameters and log-likelihood."""
    import numpy as np

    rows = np.genfromtxt(data, delimiter=",", skip_header=1)[:, 1:]
    fit, seconds = WAYS[way][3](rows), []
    for _ in range(WAYS[way][2] + 1):
        begun = processor()
        params = fit()
        seconds.append(processor() - begun)
    return {
        "seconds": seconds,
        "params": params,
        "log_likelihood": log_likelihood(params, rows),
        "customers": len(rows),
    }


def processor() -> float:
    """Return the processor seconds of this process and those it started; other work on the machine does not count."""
    return time.process_time() + sum(os.times()[2:4])


# ---- the number of customers -----------------------------------------------------------------------------------------


def simulated(customers: int, seed: int = 1, chunk: int = 1_000_000):
    """Return one row per customer: frequency, recency and age (weeks) by whole days.

    Purchases on the same day count as one.
    """
    import numpy as np

    rng, rows = np.random.default_rng(seed), np.empty((customers, 3))
    for first in range(0, customers, chunk):
        n = min(chunk, customers - first)
        rate, leaves = rng.gamma(WORLD[0], 1 / WORLD[1], n), rng.beta(*WORLD[2:], n)
        age = rng.integers(1, WINDOW + 1, n)
        frequency, recency = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        who, at = np.arange(n), np.zeros(n)
        while who.size:
            at = at + rng.exponential(1, who.size) / np.fmax(rate[who], 1e-300)
            who, at = who[at < age[who]], at[at < age[who]]
            day = np.ceil(at).astype(np.int64)
            frequency[who] += day > recency[who]
            recency[who] = day
            stays = rng.random(who.size) >= leaves[who]
            who, at = who[stays], at[stays]
        rows[first : first + n] = np.column_stack([frequency, recency / 7, age / 7])
    return rows


def fit_many(customers: int) -> dict[str, object]:
    """Count the histories of so many customers as pages do and fit the counts several times; return the seconds."""
    import numpy as np

    from cxlib.counts.purchases import MANY
    from cxlib.stats.likelihood import LikelihoodModel, collapse
    from cxlib.stats.repeat_buying import BetaGeoNBD

    rows = simulated(customers)
    begun = processor()
    if (rows[:, 0] > 0).sum() > MANY:
        rows[:, 1:] = np.maximum(rows[:, 1:].round(), rows[:, 1:] > 0)
    rows, code = collapse(rows)
    n = np.bincount(code)
    counting, fit, taken = processor() - begun, LikelihoodModel._maximise, []

    def timed(*given: object, **named: object) -> object:
        begun = processor()
        found = fit(*given, **named)
        taken.append(processor() - begun)
        return found

    LikelihoodModel._maximise = timed
    checking = []
    for _ in range(FITS):
        begun = processor()
        model = BetaGeoNBD().fit(*rows.T, weights=n)
        checking.append(processor() - begun - taken[-1])
    return {
        "counting": [counting],
        "checking": checking,
        "seconds": taken,  # the fit itself
        "params": model.params.tolist(),
        "log_likelihood": model.log_likelihood,
        "histories": len(rows),
    }


# ---- measuring -------------------------------------------------------------------------------------------------------


def environment(whose: str) -> str:
    """Return the Python of an environment, which is made in the user's cache folder if it is missing."""
    if whose == "ours":
        return sys.executable
    pins = RIVALS[whose]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cxlib" / "benchmarks"
    key = hashlib.sha256(" ".join([platform.python_version(), *pins]).encode()).hexdigest()[:12]
    folder = cache / f"{whose}-{key}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "complete").exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), *pins], check=True)
        (folder / "complete").touch()
    return str(python)


def measure(folder: Path, whose: str, *job: str) -> dict[str, object]:
    """Run one job in its own process, with one thread, and return its result."""
    bounds = {f"{n}_NUM_THREADS": "1" for n in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    bounds["PYTENSOR_FLAGS"] = f"base_compiledir={folder}"  # an empty folder, so that the first fit really compiles
    result = folder / "result.json"
    command = [environment(whose), "-m", "benchmarks.buying", "--job", str(result), *job]
    subprocess.run(command, cwd=ROOT, env=os.environ | bounds, check=True, stderr=subprocess.DEVNULL)
    return json.loads(result.read_text())


def compare(folder: Path) -> dict[str, dict]:
    """Fit CDNOW in every way; ValueError if one finds a maximum that differs from ours from counts."""
    (data,) = [f.locate() for f in importlib.metadata.files("lifetimes") if f.name == "cdnow_customers_summary.csv"]
    found = {way: measure(folder, whose, way, str(data)) for way, (_, whose, *_) in WAYS.items()}
    mine = found["counts"]
    for way, other in found.items():
        pairs = zip(other["params"], mine["params"], strict=True)
        other["off"] = max(abs(theirs / ours - 1) for theirs, ours in pairs)
        other["short"] = mine["log_likelihood"] - other["log_likelihood"]
        same = other["off"] < DIGITS and abs(other["short"]) < DIGITS
        if way != "pymc" and not same:  # its default priors move the maximum
            raise ValueError(f"{WAYS[way][0]} finds the parameters {other['params']}, ours are {mine['params']}")
    return found


def _warm(found: dict, step: str = "seconds") -> float:
    return statistics.median(found[step][1:] or found[step])


def _counted(found: dict) -> float:
    """Return the seconds of all steps after counting."""
    return sum(_warm(found, step) for step in ("checking", "seconds"))


def ratios(found: dict[str, dict], sizes: dict[int, dict]) -> dict[str, float]:
    """Return what the goals are about: how many times faster later fits are, and times the smallest size."""
    mine = _warm(found["counts"])
    return {
        "lifetimes": _warm(found["lifetimes"]) / mine,
        "pymc": _warm(found["pymc"]) / mine,
        "flat": _warm(found["flat"]) / mine,
        "size": _warm(sizes[max(sizes)]) / _warm(sizes[min(sizes)]),
        "counted": _counted(sizes[max(sizes)]) / _counted(sizes[min(sizes)]),
    }


def missed(found: dict[str, float]) -> list[str]:
    """Return the goals that are missed, in words."""
    said = [
        f"{found[k]:,.1f} times faster than {k}, not {GOALS[k]}" for k in ("lifetimes", "pymc") if found[k] < GOALS[k]
    ]
    if found["size"] > GOALS["size"]:
        said.append(f"the largest size takes {found['size']:,.1f} times as long as the smallest, not {GOALS['size']}")
    return said


# ---- the report ------------------------------------------------------------------------------------------------------


def _table(head: list[str], lines: list[list[str]]) -> str:
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, marks, *lines])


def _seconds(value: float) -> str:
    if value < 1e-3:
        return "0"
    return f"{value:,.{max(0, 1 - math.floor(math.log10(value)))}f}"


def tables(found: dict[str, dict], sizes: dict[int, dict]) -> tuple[str, str]:
    """Return the table of packages and the table of sizes."""
    mine, lines = _warm(found["counts"]), []
    for way, (name, *_) in WAYS.items():
        f = found[way]
        faster = "" if WAYS[way][1] == "ours" else f"{_warm(f) / mine:,.0f}"
        lines.append(
            [
                name,
                _seconds(f["seconds"][0]),
                _seconds(_warm(f)),
                faster,
                f"{f['log_likelihood']:,.3f}",
                f"{f['off']:.1g}",
            ]
        )
    head = ["package", "first fit, s", "later fits, s", "times ours", "log-likelihood", "parameters off by"]
    sized = []
    for customers, f in sorted(sizes.items()):
        r, alpha, a, b = f["params"]
        took = [_seconds(_warm(f, step)) for step in ("counting", "checking", "seconds")]
        sized.append([f"{customers:,}", f"{f['histories']:,}", *took, f"{r:.3f}, {alpha:.2f}, {a:.3f}, {b:.3f}"])
    titles = ["customers", "distinct histories", "counting, s", "checking, s", "fit, s", "r, alpha, a, b"]
    return _table(head, lines), _table(titles, sized)


def report(found: dict[str, dict], sizes: dict[int, dict]) -> str:
    """Return the text of docs/speed.md."""
    ways, sized = tables(found, sizes)
    compiler = "g++" if shutil.which("g++") else "no C compiler"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    faster = ratios(found, sizes)
    short = "; ".join(missed(faster))
    return f"""# How long a fit of repeat buying takes

Made by `python -m benchmarks.buying` in one run, on a machine with {os.cpu_count()} cores and {memory:.0f} GB of
memory, with Python {platform.python_version()} and one thread each. Each package runs in its own process and
environment. Times are processor times of the fit alone; of the later fits they are the median. The first fit of
pymc-marketing compiles its model ({compiler}); with flat priors, most of that is already done.

## BG/NBD on CDNOW

{found["counts"]["customers"]:,} customers, with time in weeks. One textbook formula gives the log-likelihood of the
parameters that each package found. The default priors of pymc-marketing move its maximum away from that of the
likelihood; flat priors do not. All other fits agree to three digits; otherwise this table is not written.

{ways}

Later fits are {faster["lifetimes"]:,.0f} times faster than those of lifetimes, and {faster["pymc"]:,.0f} times faster
than those of pymc-marketing with its default priors. With flat priors, which let it find the maximum sooner, the factor
is {faster["flat"]:,.0f}.

## The number of customers

Simulated BG/NBD customers who joined over {WINDOW} days, with purchases by whole days. Counting turns one row per
customer into distinct histories (frequency, recency, age) and the number of customers with each; on a page the database
does it. Where more than 50,000 customers came back, it also rounds recency and age to whole weeks, as here; that keeps
the histories few. A call of `fit` then checks its rows and fits.

{sized}

The fit of {max(sizes):,} customers takes {faster["size"]:,.1f} times as long as that of {min(sizes):,}. With checking,
everything after counting takes {faster["counted"]:,.1f} times as long.

The goals are {GOALS["lifetimes"]} times faster than lifetimes, {GOALS["pymc"]} times faster than pymc-marketing, and a
fit that takes at most {GOALS["size"]} times as long for the largest number of customers as for the smallest.
{f"Missed: {short}." if short else "All three are met."}
"""


def main(given: list[str]) -> int:
    """Measure and print; with the default sizes, write docs/speed.md. Returns 1 if a goal is missed."""
    if given[:1] == ["--job"]:
        _, result, way, *data = given
        found = fit_cdnow(way, Path(*data)) if data else fit_many(int(way))
        Path(result).write_text(json.dumps(found))
        return 0
    wanted = tuple(int(n) for n in given) or SIZES
    with tempfile.TemporaryDirectory() as folder:
        found = compare(Path(folder))
        sizes = {customers: measure(Path(folder), "ours", str(customers)) for customers in wanted}
    print(*tables(found, sizes), sep="\n\n")
    if wanted == SIZES:
        (ROOT / "docs" / "speed.md").write_text(report(found, sizes), encoding="utf-8")
    short = missed(ratios(found, sizes))
    print(*short, sep="\n")
    return int(bool(short))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
