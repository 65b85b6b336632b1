"""Table I of a set of stores, counted by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.stores.table_one import TableOneRow, make_table_one, print_table_one
from pipelines.stores.tables import SegmentWriter
from schemas.errors import UsageError
from schemas.segment import SEGMENT_SCHEMA
from schemas.store import SEGMENTS, version_path
from schemas.time import NS_PER_S

VERSION = "0123456789abcdef"


def write(store: Path, rows: list[Mapping[str, Any]]) -> tuple[Path, str]:
    """Write a version's segment table and nothing else: start and end in seconds."""
    path = store / version_path(VERSION, SEGMENTS)
    path.parent.mkdir(parents=True)
    full = []
    for i, row in enumerate(rows):
        seconds = {"start_ns": row["at"][0] * NS_PER_S, "end_ns": row["at"][1] * NS_PER_S}
        whole = {
            "segment_id": f"{i:032x}", "dataset": "egoexo4d", "take_uid": "t1", "take_name": "t1",
            "participant": "egoexo4d:p1", "split": "train", "label": "cook", "has_imu": True,
            "has_video": True, "has_text": True, "duplicate_index": 0, "overlaps": 0,
            "same_window": 0, "clock_uncertainty_ns": 0, **seconds, **row,
        }  # fmt: skip
        full.append({name: whole.get(name) for name in SEGMENT_SCHEMA.names})
    with SegmentWriter(path) as writer:
        writer.write(pa.Table.from_pylist(full, schema=SEGMENT_SCHEMA))
    return store, VERSION


def by_split(rows: list[TableOneRow]) -> dict[tuple[str, str], TableOneRow]:
    return {(row.dataset, row.split): row for row in rows}


def test_every_count_of_two_stores(tmp_path: Path) -> None:
    first = write(
        tmp_path / "a",
        [
            {"at": (0, 5)},
            {"at": (3, 8), "label": None},
            {"at": (3, 8)},
            {"at": (4, 5)},
            {"at": (20, 25)},
            {"at": (0, 5), "take_uid": "t2", "label": "dance"},
            {"at": (0, 5), "take_uid": "t3", "participant": None, "split": "test"},
            {"at": (0, 5), "take_uid": "t4", "split": None},
        ],
    )
    second = write(
        tmp_path / "b",
        [
            {"at": (0, 5), "dataset": "realworld", "take_uid": "r", "participant": "realworld:1"},
            {"at": (5, 10), "dataset": "realworld", "take_uid": "r", "participant": "realworld:1"},
        ],
    )
    rows = make_table_one([first, second])
    assert [(row.dataset, row.split) for row in rows] == [
        ("egoexo4d", "train"),
        ("egoexo4d", "test"),
        ("egoexo4d", "none"),
        ("egoexo4d", "all"),
        ("realworld", "train"),
        ("realworld", "all"),
    ]
    found = by_split(rows)
    train = found["egoexo4d", "train"]
    assert (train.segments, train.labelled, train.takes) == (6, 5, 2)
    assert (train.participants, train.classes) == (1, 2)
    # t1 is covered from 0 to 8 and from 20 to 25 s, t2 for 5 s.
    assert train.hours == pytest.approx(18 / 3600, abs=1e-4)
    whole = found["egoexo4d", "all"]
    assert (whole.segments, whole.takes, whole.participants) == (8, 4, 1)
    assert whole.hours == pytest.approx(28 / 3600, abs=1e-4)
    assert found["egoexo4d", "test"].participants == 0
    assert found["realworld", "all"].hours == pytest.approx(10 / 3600, abs=1e-4)


def test_the_papers_figures_stand_beside(tmp_path: Path) -> None:
    segment = {"at": (0, 5)}
    versions = [
        write(tmp_path / name, [{**segment, "dataset": name, "split": split}])
        for name, split in (
            ("egoexo4d", "train"),
            ("ego4d", "test"),
            ("realworld", "test"),
            ("gopro", "train"),
        )
    ]
    found = by_split(make_table_one(versions))
    paper = {key: (row.paper_segments, row.paper_classes) for key, row in found.items()}
    assert paper == {
        ("egoexo4d", "train"): (195_000, 8),
        ("egoexo4d", "all"): (250_000, 8),
        ("ego4d", "test"): (57_000, 10),
        ("ego4d", "all"): (None, 10),
        ("realworld", "test"): (2_600, 8),
        ("realworld", "all"): (None, 8),
        ("gopro", "train"): (None, None),
        ("gopro", "all"): (None, None),
    }
    printed = print_table_one(list(found.values())).splitlines()
    assert printed[0].split() == [
        "dataset", "split", "segments", "paper", "labelled", "takes", "hours", "participants",
        "classes", "paper",
    ]  # fmt: skip
    line = next(line for line in printed if line.startswith("realworld  test"))
    assert line.split() == ["realworld", "test", "1", "2.6", "K", "1", "1", "0.00", "1", "1", "8"]
    assert len({line.index("1  ") for line in printed[1:]}) == 1


def test_one_take_in_two_stores_is_refused(tmp_path: Path) -> None:
    versions = [write(tmp_path / name, [{"at": (0, 5)}]) for name in ("a", "b")]
    with pytest.raises(UsageError, match=r"must hold different takes, got 1 of .*egoexo4d t1"):
        make_table_one(versions)


def test_an_empty_store_has_no_row(tmp_path: Path) -> None:
    assert make_table_one([write(tmp_path / "a", [])]) == []
    assert print_table_one([]).startswith("dataset")
