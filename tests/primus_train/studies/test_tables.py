import re
from collections.abc import Callable
from typing import Any

import pytest

from primus_train.studies.grids import make_grids
from primus_train.studies.settings import StudySettings
from primus_train.studies.tables import latex_table, study_latex, study_markdown

Row = Callable[..., dict[str, Any]]
Cheap = Callable[..., StudySettings]
METHODS = {"PRIMUS": 0.82, "IMU2CLIP": 0.7512, "SS+NN": 0.26}


@pytest.fixture
def rows(row: Row) -> list[dict[str, Any]]:
    made = [
        row(
            title=title,
            method=title.lower(),
            shots=shots,
            accuracies=[base + shots / 1000, base + shots / 500, base - 0.01],
            collapsed=title == "SS+NN",
        )
        for title, base in METHODS.items()
        for shots in (1, 10, 50)
    ]
    made[-1] |= {"accuracy": None, "accuracy_se": None, "near_chance": None}
    made[-1] |= {"reason": "fewer than 50 train windows: dance (12)"}
    return made


def numbers(cell: str) -> tuple[float, float] | None:
    """Mean and error of a printed cell, by an expression that knows both notations."""
    found = re.search(r"(-?\d+\.\d)\s*(?:±|\$\\pm\$)\s*(\d+\.\d)", cell)
    return None if found is None else (float(found[1]), float(found[2]))


def check(table: list[list[str]], rows: list[dict[str, Any]]) -> None:
    header, *body = table
    assert header[1:] == ["1", "10", "50"]
    assert [line[0].split(" ")[0] for line in body] == list(METHODS)
    for line, title in zip(body, METHODS, strict=True):
        for cell, shots in zip(line[1:], (1, 10, 50), strict=True):
            (row,) = [r for r in rows if (r["title"], r["shots"]) == (title, shots)]
            if row["accuracy"] is None:
                assert "n/a" in cell
                continue
            found = numbers(cell)
            assert found is not None
            assert found[0] == pytest.approx(100 * row["accuracy"], abs=0.0501)
            assert found[1] == pytest.approx(100 * row["accuracy_se"], abs=0.0501)
            assert ("†" in cell or "dagger" in cell) == row["near_chance"]
            # PRIMUS is the best everywhere.
            assert ("**" in cell or "textbf" in cell) == (title == "PRIMUS")


def test_the_markdown_parses_back_to_the_rows(rows: list[dict[str, Any]], cheap: Cheap) -> None:
    settings = cheap("baselines", "a", shots=(1, 10, 50))
    grids = make_grids(rows, settings=settings)
    text = study_markdown(grids, rows, settings=settings)
    table = text.partition("## Toy\n\n")[2].partition("\n\n")[0].splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table]
    assert cells[1] == ["---", "---:", "---:", "---:"]
    check([cells[0], *cells[2:]], rows)
    assert "SS+NN (collapsed)" in text
    assert "† near chance: balanced accuracy less than 5 points above it" in text
    assert "n = 1,200 windows, 4 classes, 3 trials; chance 25.0 %" in text
    assert "- SS+NN, Toy, 50 shots: fewer than 50 train windows: dance (12)" in text
    assert "- Toy: /stores/toy@0123456789abcdef" in text
    traced = f"| PRIMUS | {'a' * 12} | {'c' * 12} | 0123456789abcdef | none | 0 | {'d' * 12} |"
    assert text.count(traced) == 1


def test_the_latex_parses_back_to_the_rows(rows: list[dict[str, Any]], cheap: Cheap) -> None:
    settings = cheap("baselines", "a", shots=(1, 10, 50))
    text = study_latex(make_grids(rows, settings=settings), settings=settings)
    lines = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r" \\")]
    check([[cell.strip() for cell in line.split(" & ")] for line in lines], rows)
    assert text.count(r"\begin{tabular}{lrrr}") == 1
    assert r"accuracy in \%" in text
    assert r"\label{tab:baselines-1}" in text


def test_shares_are_printed_with_their_test(row: Row, cheap: Cheap) -> None:
    rows = [
        row(method=m, title=m.upper(), share=s, shots=500, mask="k", mask_sha256="e" * 64)
        for m in ("primus", "imu2clip")
        for s in (0.25, 1.0)
    ]
    settings = cheap("data-efficiency", "a", shots=(500,))
    text = study_markdown(make_grids(rows, settings=settings), rows, settings=settings)
    assert "# Data efficiency: accuracy in %, logistic probe, 500 shots per class" in text
    assert "| method / share with video and text | 25 % | 100 % |" in text
    assert "PRIMUS at 25 % against IMU2CLIP at 100 %: +0.0 points, two-sided Welch p = 1.0" in text
    assert (
        f"| IMU2CLIP at 25 % | {'a' * 12} | {'c' * 12} | 0123456789abcdef | k {'e' * 12} |" in text
    )


def test_what_latex_reads_as_commands_is_escaped() -> None:
    text = latex_table(
        ["a_b", "c%"], [["x & y", "**1 ± 2**"], ["~^\\", "#{}$"]], caption="p < 1", label="t"
    )
    assert r"a\_b & c\% \\" in text
    assert r"x \& y & \textbf{1 $\pm$ 2} \\" in text
    assert r"\textasciitilde{}\textasciicircum{}\textbackslash{} & \#\{\}\$ \\" in text
    assert r"\caption{p $<$ 1}" in text
