from pathlib import Path

import pytest

from pipelines.synthetic.jobs import make_new_folder, write_all
from schemas.errors import UsageError


def test_jobs_are_written_in_order_and_told_one_by_one(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    written: list[str] = []
    write_all(
        lambda dest, job: written.append(f"{dest.name}/{job}"),
        ["a", "b", "c"],
        dest=tmp_path / "d",
        workers=1,
        progress=lambda done, jobs: told.append((done, jobs)),
    )
    assert written == ["d/a", "d/b", "d/c"]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_new_folder_is_made_and_a_full_one_refused(tmp_path: Path) -> None:
    make_new_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    make_new_folder(tmp_path / "a" / "b")
    for full in (tmp_path / "a", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="must be new or empty"):
            make_new_folder(full)
