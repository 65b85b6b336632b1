from pathlib import Path
from typing import Any, get_args

import pytest

from pipelines.config import DatasetName
from pipelines.synthetic.registry import SYNTHETIC, write_synthetic
from schemas.errors import UsageError

ASKED: dict[str, Any] = {
    "takes": 1,
    "seconds": 8,
    "seed": 0,
    "participants": 1,
    "full_size": "none",
    "faults": (),
    "workers": 1,
}


def test_every_dataset_that_is_read_can_be_written() -> None:
    assert set(SYNTHETIC) == set(get_args(DatasetName))


def test_arguments_reach_the_writer(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_synthetic(
        "realworld", tmp_path / "d", **ASKED, progress=lambda done, all_: told.append((done, all_))
    )
    assert (tmp_path / "d" / "truth.json").is_file()
    assert told == [(1, 1)]


@pytest.mark.parametrize("dataset", SYNTHETIC)
def test_every_writer_takes_what_it_is_given(dataset: str, tmp_path: Path) -> None:
    # Refused by the writer itself, so that it was called with arguments of its own.
    with pytest.raises(UsageError, match=f"faults of {dataset} must be among .*, got rain"):
        write_synthetic(dataset, tmp_path / "d", **{**ASKED, "faults": ["rain"]})
    with pytest.raises(UsageError, match="full_size must be none, one or all, got 'two'"):
        write_synthetic(dataset, tmp_path / "d", **{**ASKED, "full_size": "two"})
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("dataset", ["realworld", "gopro", "folder"])
def test_a_large_picture_that_there_is_none_of_is_refused(dataset: str, tmp_path: Path) -> None:
    for size in ("one", "all"):
        with pytest.raises(UsageError, match=f"must be none for {dataset}, .*, got {size}"):
            write_synthetic(dataset, tmp_path / "d", **{**ASKED, "full_size": size})
    assert not (tmp_path / "d").exists()


def test_unknown_datasets_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must be among egoexo4d, .*, got ucf101"):
        write_synthetic("ucf101", tmp_path / "d", **ASKED)
