"""What an inventory counts, on folders made by hand."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.datasets.base import Catalogue
from pipelines.datasets.inventory import Inventory, Stock, print_inventory, take_inventory
from schemas.errors import TakeError
from schemas.take import ImuStream, Take, VideoStream
from schemas.time import NS_PER_S
from tests.factories import make_narration, make_take
from tests.video_files import make_frames, write_video

HOUR = 3600 * NS_PER_S


def write_files(root: Path, **sizes: int) -> None:
    for name, size in sizes.items():
        (root / f"{name}.bin").write_bytes(bytes(size))


def stocked(uid: str, **overrides: object) -> Take:
    fields = {
        "video": VideoStream(path=f"{uid}_v.bin", variant="448"),
        "imu": ImuStream(path=f"{uid}_i.bin", label="imu-right"),
        "clock_paths": ("clock.bin",),
        "duration_ns": HOUR,
    }
    return make_take(uid, **{**fields, **overrides})


def take_of(catalogue: Catalogue, root: Path) -> Inventory:
    return take_inventory(catalogue, dataset="egoexo4d", root=root)


def test_files_are_counted_once_and_hours_by_kind(tmp_path: Path) -> None:
    write_files(tmp_path, a_v=10, a_i=100, b_v=20, clock=3, shared_i=1000, c_more=7)
    takes = (
        stocked("a"),
        stocked("b", imu=ImuStream(path="shared_i.bin", label="imu-right"), duration_ns=HOUR // 2),
        stocked(
            "c",
            imu=ImuStream(path="shared_i.bin", label="imu-left", later_paths=("c_more.bin",)),
            video=None,
            participant=None,
            label=None,
        ),
    )
    seen: list[int] = []
    inventory = take_inventory(
        Catalogue(takes=takes, narrations={}, official_split={"a": "train", "b": "train"}),
        dataset="egoexo4d",
        root=tmp_path,
        progress=seen.append,
    )
    assert inventory.streams == (
        Stock(kind="clock", name="", takes=3, files=1, bytes=3, hours=2.5),
        Stock(kind="imu", name="imu-left", takes=1, files=2, bytes=1007, hours=1.0),
        Stock(kind="imu", name="imu-right", takes=2, files=2, bytes=1100, hours=1.5),
        Stock(kind="video", name="448", takes=2, files=2, bytes=30, hours=1.5),
    )
    assert inventory.missing == {"video": {"no_stream": 1}}
    assert (inventory.bytes, inventory.hours, inventory.hours_unknown) == (1140, 2.5, 0)
    assert (inventory.takes, inventory.usable, inventory.participants) == (3, 3, 2)
    assert inventory.labels == {"cooking": 2, "none": 1}
    assert inventory.task_families == {"Cooking": 3}
    assert inventory.splits == {"train": 2}
    assert seen == [1, 2, 3]


def test_what_is_missing_is_counted_by_its_reason(tmp_path: Path) -> None:
    write_files(tmp_path, a_v=10, clock=3, b_v=1, b_i=1, c_v=5)
    takes = (
        stocked("a", imu=None),
        stocked("b"),
        stocked("c", video=VideoStream(path="../out.bin", variant="448")),
    )
    faults = {"a": TakeError("vrs_missing", "file must exist, got a.vrs")}
    inventory = take_of(Catalogue(takes=takes, narrations={}, faults=faults), tmp_path)
    assert inventory.missing == {
        "imu": {"file_missing": 1, "vrs_missing": 1},
        "video": {"path_escapes_root": 1},
    }
    assert inventory.faults == {"vrs_missing": 1}
    assert (inventory.usable, inventory.hours) == (2, 2.0)
    video = next(stock for stock in inventory.streams if stock.kind == "video")
    assert (video.takes, video.hours) == (2, 2.0)


def test_a_length_no_metadata_give_comes_from_the_videos_header(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", make_frames(45))
    shutil.copy(path, tmp_path / "more.mp4")
    (tmp_path / "rubbish.mp4").write_bytes(b"no video")
    takes = (
        make_take("a", duration_ns=None, imu=None, video=VideoStream(path="clip.mp4", variant="f")),
        make_take(
            "b",
            duration_ns=None,
            imu=None,
            video=VideoStream(path="clip.mp4", variant="f", later_paths=("more.mp4",)),
        ),
        make_take(
            "c", duration_ns=None, imu=None, video=VideoStream(path="rubbish.mp4", variant="f")
        ),
        make_take("d", duration_ns=None, imu=None, video=None),
    )
    inventory = take_of(Catalogue(takes=takes, narrations={}), tmp_path)
    assert inventory.hours == pytest.approx(4.5 / 3600, abs=1e-6)
    assert inventory.hours_unknown == 2
    assert inventory.unreadable == {"video_unreadable": 1}
    assert inventory.missing == {"imu": {"no_stream": 4}, "video": {"no_stream": 1}}


def test_a_length_without_a_picture_comes_from_the_sensors_stamps(tmp_path: Path) -> None:
    write_files(tmp_path, a_i=1, b_i=1, c_i=1)
    takes = tuple(
        stocked(uid, video=None, clock_paths=(), duration_ns=HOUR if uid == "a" else None)
        for uid in "abcd"
    )
    asked: list[str] = []

    def read_length(take: Take) -> int:
        asked.append(take.take_uid)
        if take.take_uid == "c":
            raise TakeError("imu_unreadable", "file must be a table")
        return HOUR // 4

    inventory = take_inventory(
        Catalogue(takes=takes, narrations={}),
        dataset="egoexo4d",
        root=tmp_path,
        read_length=read_length,
    )
    # Neither a take of known length nor one without a file is opened.
    assert asked == ["b", "c"]
    assert (inventory.hours, inventory.hours_unknown) == (1.25, 2)
    assert inventory.unreadable == {"imu_unreadable": 1}


def test_sentences_are_counted_by_source(tmp_path: Path) -> None:
    one = make_narration(1.0)
    two = replace(one, pass_uid="pass-2")
    other = replace(one, text_source="expert_commentary")
    catalogue = Catalogue(
        takes=(),
        narrations={"a": (one, one, two, other), "b": (one,)},
        ignored={"unknown_take": 4},
    )
    inventory = take_of(catalogue, tmp_path)
    counted = {source: n.model_dump() for source, n in inventory.narrations.items()}
    assert counted == {
        "atomic_descriptions": {"narrations": 4, "takes": 2, "passes": 3},
        "expert_commentary": {"narrations": 1, "takes": 1, "passes": 1},
    }
    assert inventory.ignored == {"unknown_take": 4}


def test_a_person_reads_the_same(tmp_path: Path) -> None:
    write_files(tmp_path, a_v=2_500_000, a_i=999, clock=3)
    faulty = make_take("b", imu=None, video=None, duration_ns=None)
    catalogue = Catalogue(
        takes=(stocked("a"), faulty),
        narrations={"a": (make_narration(1.0),)},
        faults={"b": TakeError("vrs_missing", "file must exist")},
    )
    lines = print_inventory(take_of(catalogue, tmp_path)).splitlines()
    assert lines[0] == "egoexo4d: 2 takes, 1 usable, 1:00:00 (h:mm:ss), 2.5 MB, 2 participants"
    assert "imu imu-right  1 of 2      1   999 B  1:00:00" in lines
    assert "video 448      1 of 2      1  2.5 MB  1:00:00" in lines
    assert "missing imu: vrs_missing 1" in lines
    assert "ruled out: vrs_missing 1" in lines
    assert "narrations of atomic_descriptions: 1 in 1 takes, 1 passes" in lines
