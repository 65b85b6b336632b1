from pathlib import Path

import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.rooted import RootedReader
from schemas.errors import TakeError, UsageError


class Shelf(RootedReader):
    name = "folder"


def make(root: Path, *, variant: str = "auto") -> Shelf:
    config = DatasetConfig.model_validate({"name": "folder", "root": root})
    video = VideoConfig.model_validate({"variant": variant})
    return Shelf(config, imu=ImuConfig(), video=video, text=TextConfig())


def test_root_must_be_a_folder(tmp_path: Path) -> None:
    assert make(tmp_path)._check_root("a shelf") == tmp_path
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(UsageError, match=f"dataset.root must be a shelf, got {wrong}"):
            make(wrong)._check_root("a shelf")


def test_variants_are_all_or_the_one_asked_for(tmp_path: Path) -> None:
    assert make(tmp_path)._wanted_variants("448", "full") == ("448", "full")
    assert make(tmp_path, variant="full")._wanted_variants("448", "full") == ("full",)
    for known, allowed in ((("540ss", "full"), "auto, 540ss or full"), (("full",), "auto or full")):
        with pytest.raises(UsageError, match=f"must be {allowed} for folder, got 448"):
            make(tmp_path, variant="448")._wanted_variants(*known)


def test_participants_carry_the_dataset(tmp_path: Path) -> None:
    assert [make(tmp_path)._participant(uid) for uid in (None, 0, "p1")] == [
        None,
        "folder:0",
        "folder:p1",
    ]


def test_one_person_has_one_name_and_nobody_has_none(tmp_path: Path) -> None:
    participant = make(tmp_path)._participant
    assert {participant(uid) for uid in (7, 7.0, "7", " 7 ")} == {"folder:7"}
    assert {participant(uid) for uid in ("", " ", float("nan"), True, [7], {})} == {None}


def test_a_missing_file_is_told_by_its_code(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("")
    reader = make(tmp_path)
    reader._require_file("here", code="imu_file_missing")
    for relative, code in (("gone", "imu_file_missing"), ("../out", "path_escapes_root")):
        with pytest.raises(TakeError, match=relative) as caught:
            reader._require_file(relative, code="imu_file_missing")
        assert caught.value.code == code


def test_the_first_file_that_exists_is_found(tmp_path: Path) -> None:
    for name in ("b", "c"):
        (tmp_path / name).write_text("")
    reader = make(tmp_path)
    assert reader._find_first(["a", "c", "b"]) == "c"
    assert reader._find_first(["a"]) is None
    assert reader._find_first([]) is None
    with pytest.raises(TakeError, match=r"stay inside the dataset, got \.\./b"):
        reader._find_first(["a", "../b", "c"])
