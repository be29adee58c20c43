"""Charts in one style, each drawn from a finished table: axes with units, bases shown, colours safe for all eyes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette; worst to best of a scale, then what is neither.
_BAD, _MIDDLE, _GOOD, _NEITHER = "#D55E00", "#E69F00", "#0072B2", "#767676"
INK, MUTED = "#222222", "#5f5f5f"
MOST_LINES, MOST_ROWS = 8, 30  # of one chart; the levels with the smallest bases are not drawn
_SCALE = {
    **dict.fromkeys(("detractor", "dissatisfied", "hard", "control"), _BAD),
    **dict.fromkeys(("passive", "neutral"), _MIDDLE),
    **dict.fromkeys(("promoter", "satisfied", "easy", "treated"), _GOOD),
    "no answer": _NEITHER,
}


def _colour(name: str, position: int) -> str:
    others = sns.color_palette("colorblind")
    return _SCALE.get(name, others[position % len(others)])


def _plain(text: object) -> str:
    """Return a text in which matplotlib sees no mathematics: dollar signs stand as they are."""
    return str(text).replace("$", r"\$")


def _axes(title: str, x: str, y: str, width: float = 7.6, height: float = 4.0) -> tuple[Figure, Axes]:
    with sns.axes_style("whitegrid", {"grid.color": "#e6e6e6", "axes.edgecolor": "#bbbbbb"}):
        figure, axes = plt.subplots(figsize=(width, height), dpi=100, layout="constrained")
    sns.despine(ax=axes)
    wrapped = "\n".join(textwrap.wrap(_plain(title), 84))
    figure.suptitle(wrapped, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlabel(_plain(x), color=MUTED)
    axes.set_ylabel(_plain(y), color=MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    return figure, axes


def _dates(axes: Axes, days: pd.Series) -> None:
    """Mark the periods drawn, at most about ten of them, by the month they begin in."""
    shown = sorted(days.unique())
    shown = shown[:: max(1, math.ceil(len(shown) / 10))]
    axes.set_xticks(shown, [f"{pd.Timestamp(d):%b %Y}" for d in shown], rotation=30, ha="right")


def _base(n: float) -> str:
    return f"n {n:,.0f}"


def _largest(axes: Axes, table: pd.DataFrame, names: pd.Series, most: int) -> pd.DataFrame:
    """Return the rows of the ``most`` names with the largest bases (column n), and say in the chart if others are left.

    Of equal bases those that come first are drawn.
    """
    names = names.astype(str)
    bases = table["n"].groupby(names, sort=False).max() if "n" in table else names.value_counts(sort=False)
    kept = bases.sort_values(ascending=False, kind="stable").index[:most]
    if len(kept) < len(bases):
        said = f"{len(bases) - len(kept)} of {len(bases)} levels are not drawn: those with the smallest bases"
        axes.set_title(said, loc="left", fontsize=8, color=MUTED)
    return table[names.isin(kept)]


def curves(
    table: pd.DataFrame,
    title: str,
    group: str = "band",
    x: str = "months",
    x_label: str = "months since the answer",
    y_label: str = "still customers (%)",
    overlay: pd.DataFrame | None = None,
) -> Figure:
    """Draw shares over time by group with their bands, at-risk counts under the axis.

    ``table``: group, x, value, low, high (shares 0-1) and at_risk. ``overlay``, or a column ``naive``: the
    same, drawn dashed, as a warning. A column ``projected`` is drawn dashed too: what a model makes of the same.
    """
    figure, axes = _axes(title, x_label, y_label, height=4.6)
    table = _largest(axes, table, table[group], MOST_LINES)
    dashed = "naive: by last score, from sign-up"
    if overlay is None and "naive" in table:
        overlay, dashed = table.assign(value=table["naive"]), "naive: other reasons censored"
    if overlay is None and "projected" in table:
        overlay, dashed = table.assign(value=table["projected"]), "by the model"
    overlay = overlay if overlay is not None and len(overlay) else None
    names = list(dict.fromkeys(table[group]))
    top = table[x].max()
    step = max(round(top / 4), 1)
    ticks = [t for t in range(0, math.ceil(top) + 1, step) if t <= top + 0.05]
    for i, name in enumerate(names):
        part, colour = table[table[group] == name], _colour(name, i)
        axes.step(part[x], 100 * part["value"], where="post", color=colour, lw=2, label=_plain(name))
        axes.fill_between(part[x], 100 * part["low"], 100 * part["high"], step="post", color=colour, alpha=0.15, lw=0)
        if overlay is not None:
            naive = overlay[overlay[group] == name]
            axes.step(naive[x], 100 * naive["value"], where="post", color=colour, lw=1.3, ls=(0, (4, 2)))
        for tick in ticks:
            at = part[part[x] <= tick + 0.05]
            if len(at):
                axes.annotate(
                    f"{at['at_risk'].iloc[-1]:,.0f}", (tick, 0), (0, -46 - 13 * i), ha="center", fontsize=8,
                    color=colour, xycoords=("data", "axes fraction"), textcoords="offset points", annotation_clip=False,
                )  # fmt: skip
    axes.annotate(
        "still followed", (0, 0), (-30, -34), ha="left", fontsize=8, color=MUTED, xycoords="axes fraction",
        textcoords="offset points", annotation_clip=False,
    )  # fmt: skip
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_xlim(0, top * 1.02)
    axes.set_ylim(max(0, 100 * table["low"].min() - 5), 101 if table["value"].iloc[0] > 0.5 else None)
    handles, labels = axes.get_legend_handles_labels()
    if overlay is not None:
        handles.append(plt.Line2D([], [], color=MUTED, lw=1.3, ls=(0, (4, 2))))
        labels.append(dashed)
    axes.legend(handles, labels, frameon=False, fontsize=9)
    return figure


def intervals(
    table: pd.DataFrame,
    title: str,
    label: str | Sequence[str] = "level",
    x_label: str = "",
    reference: float | None = None,
    scale: float = 1.0,
) -> Figure:
    """Draw one dot with its interval per row of ``table`` (label, value, low, high, n), the base beside each name."""
    columns = [label] if isinstance(label, str) else list(label)
    rows = table[table["value"].notna()].reset_index(drop=True)
    figure, axes = _axes(title, x_label, "", height=1.3 + 0.34 * min(len(rows), MOST_ROWS))
    rows = _largest(axes, rows, rows.index.to_series(), MOST_ROWS)
    names = [" · ".join(_plain(r[c]) for c in columns) + f"  ({_base(r['n'])})" for _, r in rows.iterrows()]
    y = range(len(rows))
    value, low, high = (scale * rows[c].astype(float) for c in ("value", "low", "high"))
    colours = [_colour(str(n), 0) if str(n) in _SCALE else _GOOD for n in rows[columns[-1]]]
    axes.hlines(y, low, high, color=colours, lw=2.4, alpha=0.55)
    axes.scatter(value, y, color=colours, s=34, zorder=3)
    axes.set_yticks(list(y), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    if reference is not None:
        axes.axvline(reference, color=MUTED, lw=1, ls="--")
    return figure


def over_time(
    table: pd.DataFrame,
    title: str,
    group: str | None = None,
    x: str = "period",
    x_label: str = "",
    y_label: str = "",
    scale: float = 1.0,
    reference: float | None = None,
) -> Figure:
    """Draw values with interval bands over time (or over event time), one line per group.

    Rows marked in a column ``break`` get a vertical line: values before and after are not comparable.
    """
    figure, axes = _axes(title, x_label, y_label)
    table = _largest(axes, table, table[group], MOST_LINES) if group else table
    groups = list(dict.fromkeys(table[group])) if group else [None]
    for i, name in enumerate(groups):
        part = table if name is None else table[table[group] == name]
        colour = _GOOD if name is None else _colour(str(name), i)
        axes.plot(
            part[x],
            scale * part["value"],
            color=colour,
            lw=2,
            marker="o",
            ms=4,
            label=name if name is None else _plain(name),
        )
        axes.fill_between(part[x], scale * part["low"], scale * part["high"], color=colour, alpha=0.15, lw=0)
    if pd.api.types.is_datetime64_any_dtype(table[x]):
        _dates(axes, table[x])
    for at in table.loc[table["break"], x].unique() if "break" in table else []:
        axes.axvline(at, color=MUTED, lw=1.5, ls=":")
    if reference is not None:
        axes.axhline(reference, color=MUTED, lw=1, ls="--")
    if group:
        axes.legend(frameon=False, fontsize=9)
    return figure


def distribution(
    table: pd.DataFrame, title: str, group: str = "metric", part: str = "band", point: str = "score"
) -> Figure:
    """Draw stacked shares, one bar per group (columns: group, part, value as a share, n), worst part at the left.

    Each part is one colour; where the table has the column ``point``, its rows are the points of the scale in it.
    """
    groups = list(dict.fromkeys(table[group]))
    figure, axes = _axes(title, "share of answers (%)", "", height=1.6 + 0.62 * len(groups))
    for y, name in enumerate(groups):
        left, mine = 0.0, table[table[group] == name]
        for i, part_name in enumerate(dict.fromkeys(mine[part])):
            colour, start = _SCALE.get(part_name, _GOOD if i else _BAD), left
            for _, row in mine[mine[part] == part_name].iterrows():
                width = 100 * row["value"]
                axes.barh(y, width, left=left, color=colour, height=0.56, edgecolor="white", lw=0.8)
                if width > 2.4 and point in row:
                    axes.text(
                        left + width / 2, y + 0.4, f"{row[point]:g}", ha="center", va="center", fontsize=7, color=MUTED
                    )
                left += width
            if left - start > 9:
                said, ink = f"{part_name}\n{left - start:.0f}%", "white" if colour != _MIDDLE else INK
                axes.text((start + left) / 2, y, said, ha="center", va="center", fontsize=8, color=ink)
    bases = table.groupby(group, observed=True)["n"].first()
    axes.set_yticks(range(len(groups)), [f"{_plain(g)}  ({_base(bases[g])})" for g in groups])
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    axes.grid(visible=False)
    return figure


def funnel(table: pd.DataFrame, title: str, stage: str = "stage", size: str = "customers") -> Figure:
    """Draw how many of all are left at each stage: one bar per row, its number and its share of the first beside it."""
    figure, axes = _axes(title, size, "", height=1.2 + 0.45 * len(table))
    whole = max(table[size].iloc[0], 1)
    axes.barh(range(len(table)), table[size], color=_GOOD, height=0.6)
    for y, value in enumerate(table[size]):
        axes.annotate(f"{value:,.0f}  ({100 * value / whole:.0f}%)", (value, y), (4, 0), textcoords="offset points",
                      va="center", fontsize=9, color=INK)  # fmt: skip
    axes.set_yticks(range(len(table)), table[stage].map(_plain))
    axes.set_xlim(0, 1.25 * table[size].max())
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure


def control(table: pd.DataFrame, title: str, x: str = "period", y_label: str = "") -> Figure:
    """Draw a control chart: values as dots, their moving average, its limits and centre, alarms marked.

    ``table``: x (dates), value, centre, ewma, low, high (NaN in the baseline) and alarm.
    """
    figure, axes = _axes(title, "", y_label)
    axes.plot(table[x], table["value"], color=_NEITHER, ls="", marker="o", ms=4, label="score")
    axes.fill_between(table[x], table["low"], table["high"], color=_GOOD, alpha=0.12, lw=0, label="control limits")
    axes.plot(table[x], table["ewma"], color=_GOOD, lw=2, label="moving average")
    axes.plot(table[x], table["centre"], color=MUTED, lw=1, ls="--", label="centre")
    alarms = table[table["alarm"]]
    if len(alarms):
        axes.plot(alarms[x], alarms["ewma"], color=_BAD, ls="", marker="D", ms=7, label="alarm")
    _dates(axes, table[x])
    axes.legend(frameon=False, fontsize=8, ncols=3)
    return figure


def calibration(table: pd.DataFrame, title: str, x: str = "predicted") -> Figure:
    """Draw observed against predicted shares, a dot with its interval for each group; on the line they agree.

    ``table``: x, value, low, high (shares 0-1) and n.
    """
    figure, axes = _axes(title, "predicted (%)", "observed (%)", width=5.6, height=4.6)
    most = 105 * max(table[x].max(), table["high"].max())
    axes.plot([0, most], [0, most], color=MUTED, lw=1, ls="--", label="as predicted")
    axes.vlines(100 * table[x], 100 * table["low"], 100 * table["high"], color=_GOOD, lw=2.4, alpha=0.55)
    axes.scatter(
        100 * table[x], 100 * table["value"], color=_GOOD, s=34, zorder=3, label=f"tenths of {table['n'].sum():,.0f}"
    )
    axes.set_xlim(0, most)
    axes.set_ylim(0, most)
    axes.legend(frameon=False, fontsize=9)
    return figure


def paths(
    table: pd.DataFrame, title: str, y_label: str, x: str = "month", x_label: str = "months since the start"
) -> Figure:
    """Draw a cumulative money path with its band; where it crosses zero the money is back."""
    figure, axes = _axes(title, x_label, y_label)
    axes.plot(table[x], table["value"], color=_GOOD, lw=2, marker="o", ms=4)
    axes.fill_between(table[x], table["low"], table["high"], color=_GOOD, alpha=0.15, lw=0)
    axes.axhline(0, color=INK, lw=1)
    return figure


def tornado(table: pd.DataFrame, title: str, x_label: str, name: str = "input") -> Figure:
    """Draw how far each input alone moves a result: bars from ``low`` to ``high`` around ``middle``, longest on top."""
    figure, axes = _axes(title, x_label, "", height=1.5 + 0.36 * len(table))
    for i, row in enumerate(table.to_dict("records")):
        for end, colour in (("low", _BAD), ("high", _GOOD)):
            axes.barh(i, row[end] - row["middle"], left=row["middle"], color=colour, alpha=0.75, height=0.6)
    axes.set_yticks(range(len(table)), table[name].map(_plain))
    axes.invert_yaxis()
    axes.axvline(0, color=INK, lw=1)
    axes.axvline(table["middle"].iloc[0], color=MUTED, lw=1, ls="--")
    axes.grid(axis="y", visible=False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=c, alpha=0.75) for c in (_BAD, _GOOD)]
    axes.legend(handles, ["input at its low end", "input at its high end"], frameon=False, fontsize=8)
    return figure


def heat_map(
    table: pd.DataFrame,
    title: str,
    row: str = "cohort",
    column: str = "months",
    x_label: str = "months since joining",
    y_label: str = "",
    scale: float = 100,
) -> Figure:
    """Draw shares as a grid of written percentages (row, column, value, n), the base beside the name of each row.

    Cells that are not in the table, or hold no value, stay blank.
    """
    rows, across = list(dict.fromkeys(table[row])), sorted(table[column].unique())
    wide = scale * table.pivot(index=row, columns=column, values="value").reindex(index=rows, columns=across).astype(
        float
    )
    bases = table.groupby(row, observed=True, sort=False)["n"].max()
    digits = 0 if scale * table["value"].max() >= 20 else 1
    written = wide.map(lambda v: "" if math.isnan(v) else f"{v:.{digits}f}")
    figure, axes = _axes(title, x_label, y_label, height=1.7 + 0.32 * len(rows))
    sns.heatmap(
        wide, ax=axes, annot=written, fmt="", cmap="Blues", linewidths=1, linecolor="white", annot_kws={"fontsize": 9},
        cbar_kws={"label": "%", "shrink": 0.8}, mask=wide.isna(),
    )  # fmt: skip
    names = [f"{r:%b %Y}" if isinstance(r, pd.Timestamp) else _plain(r) for r in rows]
    bases = [f"  ({_base(bases[r])})" if bases[r] > 0 else "" for r in rows]
    axes.set_yticks([i + 0.5 for i in range(len(rows))], [a + b for a, b in zip(names, bases, strict=True)], rotation=0)
    axes.set_xticks([i + 0.5 for i in range(len(across))], [f"{a:g}" for a in across], rotation=0)
    axes.set_xlabel(x_label, color=MUTED)
    axes.set_ylabel(y_label, color=MUTED)
    axes.grid(visible=False)
    return figure
