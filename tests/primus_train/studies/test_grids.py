from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from primus_train.objectives.multitask import TASKS
from primus_train.studies.grids import make_grids, metric_words, percent
from primus_train.studies.settings import StudySettings

Row = Callable[..., dict[str, Any]]
Cheap = Callable[..., StudySettings]


def test_a_grid_a_panel_with_methods_and_shots(row: Row, cheap: Cheap) -> None:
    rows = [
        row(panel=panel, panel_name="AB"[panel], title=title, shots=shots, accuracies=[mean] * 2)
        for title, base in (("PRIMUS", 0.8), ("SimCLR", 0.5))
        for panel in (0, 1)
        for shots, mean in ((1, base - 0.1), (10, base + panel / 100))
    ]
    grids = make_grids(rows, settings=cheap("baselines", "a", "b"))
    assert [grid.title for grid in grids] == ["A (in domain)", "B (transfer)"]
    assert grids[0].rows == ("PRIMUS", "SimCLR")
    assert grids[0].columns == (1, 10)
    assert grids[1].value("SimCLR", 10)[0] == pytest.approx(0.51)
    assert grids[0].value("PRIMUS", 1) == (pytest.approx(0.7), 0.0)
    assert grids[0].chance == 0.25
    assert grids[0].facts == "n = 1,200 windows, 4 classes, 2 trials"
    assert not grids[0].collapsed("PRIMUS")


def test_the_metric_asked_for_is_shown(row: Row, cheap: Cheap) -> None:
    rows = [row(macro_f1=0.125, macro_f1_se=0.01, accuracies=[0.9, 0.9])]
    (grid,) = make_grids(rows, settings=cheap("ablation", "a", metric="macro_f1"))
    assert grid.value("PRIMUS", 1) == (0.125, 0.01)
    assert metric_words(grid.metric) == "macro-F1"


def test_shares_are_columns_and_the_ends_are_compared(row: Row, cheap: Cheap) -> None:
    rng = np.random.default_rng(0)
    trials = {
        (method, share): rng.normal(0.6, 0.05, size=5).tolist()
        for method in ("primus", "imu2clip")
        for share in (0.1, 0.5, 1.0)
    }
    rows = [
        row(
            study="data-efficiency",
            method=method,
            title=method.upper(),
            share=share,
            shots=500,
            accuracies=values,
        )
        for (method, share), values in trials.items()
    ]
    (grid,) = make_grids(rows, settings=cheap("data-efficiency", "a"))
    assert grid.columns == (0.1, 0.5, 1.0)
    assert grid.comparison is not None
    first, second = trials["primus", 0.1], trials["imu2clip", 1.0]
    oracle = stats.ttest_ind(first, second, equal_var=False)
    assert grid.comparison.test.p == pytest.approx(oracle.pvalue, rel=1e-9)
    points = 100 * (np.mean(first) - np.mean(second))
    assert str(grid.comparison) == (
        f"PRIMUS at 10 % against IMU2CLIP at 100 %: {points:+.1f} points, two-sided Welch "
        f"p = {oracle.pvalue:.3f}, n 5 and 5 trials"
    )


def test_shares_of_several_shots_are_grids_of_their_own(row: Row, cheap: Cheap) -> None:
    rows = [
        row(method=method, title=method, share=share, shots=shots)
        for method in ("primus", "imu2clip")
        for share in (0.5, 1.0)
        for shots in (5, 50)
    ]
    grids = make_grids(rows, settings=cheap("data-efficiency", "a", shots=(5, 50)))
    assert [grid.title for grid in grids] == ["Toy 5 shots", "Toy 50 shots"]


def test_pairs_fill_the_lower_triangle(row: Row, cheap: Cheap) -> None:
    rows = [
        row(study="augmentations", transforms=[a, b], title=f"{a}+{b}", shots=10)
        for i, a in enumerate(TASKS)
        for b in TASKS[i + 1 :]
    ]
    (grid,) = make_grids(rows, settings=cheap("augmentations", "a", shots=(10,)))
    assert len(grid.cells) == 28
    assert (len(grid.rows), len(grid.columns)) == (7, 7)
    filled = np.array([[(r, c) in grid.cells for c in grid.columns] for r in grid.rows])
    assert np.array_equal(filled, np.tri(7, dtype=bool))
    assert grid.cells["time reversal", "scaling"]["transforms"] == ["scaling", "time_reversal"]


def test_absent_cells_and_failed_rows_are_not_available(row: Row, cheap: Cheap) -> None:
    nothing = {"accuracies": [], "n": None, "classes": None, "chance": None, "reason": "lost"}
    rows = [row(shots=1), row(shots=10, **nothing)]
    (grid,) = make_grids(rows, settings=cheap("ablation", "a"))
    assert grid.value("PRIMUS", 10) == (None, None) == grid.value("PRIMUS", 7)
    assert (percent(None, None), percent(0.4567, None)) == ("n/a", "45.7")
    assert percent(0.4567, 0.0123) == "45.7 ± 1.2"
    (empty,) = make_grids([row(**nothing)], settings=cheap("ablation", "a"))
    assert (empty.facts, empty.chance) == ("no results", None)


def test_a_row_is_collapsed_if_its_encoder_is(row: Row, cheap: Cheap) -> None:
    rows = [row(title="SS+NN", collapsed=True), row(title="SS", collapsed=False)]
    (grid,) = make_grids(rows, settings=cheap("ablation", "a"))
    assert (grid.collapsed("SS+NN"), grid.collapsed("SS")) == (True, False)
