from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.datasets.folder_tables import (
    choice_cell,
    number_cell,
    read_rows,
    text_cell,
    whole_cell,
)
from schemas.errors import UsageError

COLUMNS = ("uid", "t_ns", "text")


def rows_of(root: Path, **options: Any) -> list[tuple[str, dict[str, Any]]]:
    found = read_rows(root, "said", columns=COLUMNS, needed=("uid",), **options)
    return [(place, dict(row)) for place, row in found]


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    table = pl.DataFrame({"uid": ["007", "8"], "text": ["turns,\nthen stops", ""]})
    for name in ("csv", "parquet"):
        (tmp_path / name).mkdir()
    table.write_csv(tmp_path / "csv" / "said.csv")
    table.write_parquet(tmp_path / "parquet" / "said.parquet")
    from_csv, from_parquet = rows_of(tmp_path / "csv"), rows_of(tmp_path / "parquet")
    assert [row for _, row in from_csv] == [row for _, row in from_parquet] == table.to_dicts()
    assert [place for place, _ in from_csv] == ["said.csv row 1", "said.csv row 2"]


def test_tables_that_are_not_as_they_should_be_are_refused(tmp_path: Path) -> None:
    assert rows_of(tmp_path, may_lack=True) == []
    with pytest.raises(UsageError, match=r"must hold said\.csv or said\.parquet, got neither"):
        rows_of(tmp_path)
    for content, sentence in (
        ("uid,mood\n1,2\n", "of uid, t_ns, text; got unknown mood"),
        ("text\na\n", "of uid, t_ns, text; got no uid"),
        ("uid\n1,2\n", r"said\.csv must be a readable table, got: "),
    ):
        (tmp_path / "said.csv").write_text(content)
        with pytest.raises(UsageError, match=sentence):
            rows_of(tmp_path)
    (tmp_path / "said.parquet").write_text("")
    with pytest.raises(UsageError, match=r"got said\.parquet and said\.csv"):
        rows_of(tmp_path)


def test_cells_are_read_as_what_they_should_be() -> None:
    row = {"a": " x ", "empty": "  ", "none": None, "nan": float("nan"), "n": 7.0, "half": "0.5"}
    assert [text_cell(row, name) for name in ("a", "empty", "none", "nan", "n", "lacking")] == [
        "x",
        None,
        None,
        None,
        "7",
        None,
    ]
    assert choice_cell(row, "a", ("x", "y"), place="p") == "x"
    assert choice_cell(row, "empty", ("x",), place="p") is None
    assert (whole_cell(row, "n", place="p"), whole_cell(row, "none", place="p")) == (7, None)
    assert (number_cell(row, "half", place="p"), number_cell(row, "nan", place="p")) == (0.5, None)


def test_cells_that_say_something_else_are_placed() -> None:
    row = {"a": "x", "half": "0.5"}
    with pytest.raises(UsageError, match=r"a must be among y, z, got x \[row 3\]"):
        choice_cell(row, "a", ("y", "z"), place="row 3")
    with pytest.raises(UsageError, match=r"half must be whole nanoseconds, got '0\.5' \[row 3\]"):
        whole_cell(row, "half", place="row 3")
    with pytest.raises(UsageError, match=r"a must be a number, got 'x' \[row 3\]"):
        number_cell(row, "a", place="row 3")
    for value in ("1_000", str(1 << 62), "9" * 40):
        with pytest.raises(UsageError, match=rf"n must be whole nanoseconds, got '{value}' \[r\]"):
            whole_cell({"n": value}, "n", place="r")
    assert whole_cell({"n": str((1 << 62) - 1)}, "n", place="r") == (1 << 62) - 1
    for value in ("nan", "inf", "-1e300"):
        with pytest.raises(UsageError, match=rf"d must be a number up to 1e\+09, got '{value}'"):
            number_cell({"d": value}, "d", place="r")


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "takes.csv").write_text("a,b,a\n1,2,3\n")
    with pytest.raises(UsageError, match=r"takes\.csv must have each column once, got a twice"):
        list(read_rows(tmp_path, "takes", columns=("a", "b"), needed=("a",)))
