"""A study's rows as grids: what a panel shows, and a table prints."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from primus_train.objectives.multitask import TASKS
from primus_train.studies.settings import Metric, StudySettings
from primus_train.studies.welch import Welch, welch_test

__all__ = ["Comparison", "Grid", "compare_shares", "make_grids", "metric_words", "percent"]

_METRICS: Final[dict[Metric, str]] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
}
_EACH: Final[dict[Metric, str]] = {
    "accuracy": "accuracies",
    "balanced_accuracy": "balanced_accuracies",
    "macro_f1": "macro_f1s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A method at one share against another at another share."""

    words: str
    test: Welch

    def __str__(self) -> str:
        first, second = self.test.n
        p = "undefined" if self.test.p is None else _p_words(self.test.p)
        return (
            f"{self.words}: {100 * self.test.difference:+.1f} points, two-sided Welch p {p}, "
            f"n {first} and {second} trials"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What is shown together: numbers of one store, by row and column.

    Attributes:
        title: whose numbers.
        facts: how they were got: windows, classes, trials, protocol.
        corner: what rows and columns are.
        rows: names, from the top.
        columns: from the left; numbers where they lie on an axis.
        cells: (row, column): row of the study's table.
        metric: which number of a row is shown.
        comparison: a test between two cells, where the study makes one.
    """

    title: str
    facts: str
    corner: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[float | str, ...]
    cells: dict[tuple[str, float | str], dict[str, Any]]
    metric: Metric
    comparison: Comparison | None = None

    def value(self, row: str, column: float | str) -> tuple[float | None, float | None]:
        """Return mean and standard error of a cell, a share of 1; None where n/a."""
        cell = self.cells.get((row, column))
        if cell is None:
            return None, None
        return cell[self.metric], cell[f"{self.metric}_se"]

    @property
    def chance(self) -> float | None:
        """The score of a guess, the same for all cells."""
        known = [cell["chance"] for cell in self.cells.values() if cell["chance"] is not None]
        return known[0] if known else None

    def collapsed(self, row: str) -> bool:
        """Whether a row is a method, and all its cells are of encoders that collapsed."""
        mine = [cell for (name, _), cell in self.cells.items() if name == row]
        return self.corner[0] == "method" and all(cell["collapsed"] for cell in mine)


def metric_words(metric: Metric) -> str:
    """Return a metric's name for people."""
    return _METRICS[metric]


def percent(value: float | None, error: float | None, *, plus_minus: str = " ± ") -> str:
    """Return mean and standard error in per cent with one decimal, ``n/a`` without a mean."""
    if value is None:
        return "n/a"
    return f"{100 * value:.1f}" + ("" if error is None else f"{plus_minus}{100 * error:.1f}")


def _p_words(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def make_grids(rows: Sequence[dict[str, Any]], *, settings: StudySettings) -> list[Grid]:
    """Return the grids of a study's rows in the panels' order."""
    study = settings.study
    by_shots = study in {"baselines", "ablation"}
    panels: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = (row["panel"], row["split"], None if by_shots else row["shots"])
        panels.setdefault(key, []).append(row)
    make: Callable[..., Grid] = _by_pair if study == "augmentations" else _by_method
    return [make(mine, settings=settings) for mine in panels.values()]


def _title(rows: Sequence[dict[str, Any]], *, settings: StudySettings) -> str:
    first = rows[0]
    words = [first["panel_name"]]
    if len(settings.stores) > 1:
        words.append("(in domain)" if first["panel"] == 0 else "(transfer)")
    if len(settings.probe.eval_splits) > 1:
        words.append(f"[{first['split']}]")
    if settings.study in {"data-efficiency", "augmentations"} and len(settings.probe.shots) > 1:
        words.append(f"{first['shots']} shots")
    return " ".join(words)


def _facts(rows: Sequence[dict[str, Any]]) -> str:
    known = [row for row in rows if row["n"] is not None]
    if not known:
        return "no results"
    trials = max(row["trials"] for row in known)
    return (
        f"n = {known[0]['n']:,} windows, {len(known[0]['classes'])} classes, "
        f"{trials} trial{'' if trials == 1 else 's'}"
    )


def _by_method(rows: Sequence[dict[str, Any]], *, settings: StudySettings) -> Grid:
    shares = settings.study == "data-efficiency"
    column = "share" if shares else "shots"
    columns = tuple(sorted({float(row["share"]) if shares else row["shots"] for row in rows}))
    return Grid(
        title=_title(rows, settings=settings),
        facts=_facts(rows),
        corner=("method", "share with video and text" if shares else "shots per class"),
        rows=tuple(dict.fromkeys(row["title"] for row in rows)),
        columns=columns,
        cells={(row["title"], row[column]): row for row in rows},
        metric=settings.metric,
        comparison=compare_shares(rows, metric=settings.metric) if shares else None,
    )


def _by_pair(rows: Sequence[dict[str, Any]], *, settings: StudySettings) -> Grid:
    names = {name: name.replace("_", " ") for name in TASKS}
    cells: dict[tuple[str, float | str], dict[str, Any]] = {}
    for row in rows:
        first, second = row["transforms"]
        # Below the diagonal: the later of the two is the row.
        cells[names[second], names[first]] = row
    return Grid(
        title=_title(rows, settings=settings),
        facts=_facts(rows),
        corner=("second", "first transformation"),
        rows=tuple(names[name] for name in TASKS[1:]),
        columns=tuple(names[name] for name in TASKS[:-1]),
        cells=cells,
        metric=settings.metric,
    )


def compare_shares(rows: Sequence[dict[str, Any]], *, metric: Metric) -> Comparison | None:
    """Return PRIMUS at its smallest share against IMU2CLIP at its largest, over trials.

    Args:
        rows: of one panel and number of shots.
        metric: whose trials are compared.
    """
    mine = sorted((r for r in rows if r["method"] == "primus"), key=lambda r: float(r["share"]))
    other = sorted((r for r in rows if r["method"] == "imu2clip"), key=lambda r: float(r["share"]))
    if not mine or not other:
        return None
    first, second = mine[0], other[-1]
    test = welch_test(first[_EACH[metric]], second[_EACH[metric]])
    if test is None:
        return None
    words = (
        f"{first['title']} at {100 * first['share']:g} % against {second['title']} at "
        f"{100 * second['share']:g} %"
    )
    return Comparison(words=words, test=test)
