import csv
from pathlib import Path

import numpy as np

from pipelines.synthetic.activities import ACTIVITIES
from pipelines.synthetic.metadata import (
    make_captures,
    make_participants,
    make_splits,
    make_takes,
    write_timesync,
)
from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.truth import frame_device_ns, row_device_ns

TRUTH = plan_dataset(takes=24, seconds=4, seed=3)
TAKE_FIELDS = """
    root_dir take_name take_uid participant_uid university_name university_id is_dropped validated
    is_narrated objects best_exo task_id task_name parent_task_id parent_task_name task_start_sec
    task_end_sec task_timing_annotation_uid take_idx take_timing_uid timesync_uid capture_uid
    physical_setting_uid duration_sec timesync_start_idx timesync_end_idx capture
    frame_aligned_videos vrs_relative_path vrs_all_streams_relative_path has_trimmed_vrs
    has_trimmed_trajectory has_trimmed_gaze
"""
CAPTURE_FIELDS = """
    capture_uid capture_name root_dir university_name university_id physical_setting_uid
    ds_recorded has_trajectory has_gaze has_postsurvey timesync_uid timesync_validated validated
    cameras
"""


def test_takes_hold_every_documented_field() -> None:
    captures = {entry["capture_uid"]: entry for entry in make_captures(TRUTH)}
    assert len(captures) == 16
    for entry, take in zip(make_takes(TRUTH), TRUTH.takes, strict=True):
        assert list(entry) == TAKE_FIELDS.split()
        assert list(entry["capture"]) == CAPTURE_FIELDS.split()
        assert entry["capture"] == captures[entry["capture_uid"]]
        assert entry["duration_sec"] == (take.end_row - take.start_row) / 30
        assert entry["take_name"] == f"{entry['capture']['capture_name']}_{entry['take_idx']}"
        rgb = entry["frame_aligned_videos"]["aria01"]["rgb"]
        assert rgb["relative_path"] == "frame_aligned_videos/aria01_214-1.mp4"
        assert entry["frame_aligned_videos"]["best_exo"]["0"]["relative_path"] is None
        (ego,) = (camera for camera in entry["capture"]["cameras"] if camera["is_ego"])
        assert (ego["cam_id"], ego["device_type"]) == ("aria01", "aria")


def test_take_names_lead_to_their_class_by_the_published_substrings() -> None:
    rule = (
        ("medical test", ("covidtest", "pcr", "covid")),
        ("repair bike", ("bike",)),
        ("climb rock", ("bouldering", "rockclimbing")),
        ("soccer", ("soccer", "basketball")),
        ("perform CPR", ("cpr",)),
        ("cook", ("cooking", "omelet", "salad", "sushi")),
        ("dance", ("dance",)),
        ("play music", ("music", "guitar", "piano", "violin")),
    )
    for take in TRUTH.takes:
        found = next(label for label, parts in rule if any(p in take.take_name for p in parts))
        assert found == take.label == ACTIVITIES[take.activity].label


def test_participants_and_splits_name_each_once() -> None:
    people = make_participants(TRUTH)
    assert [entry["participant_uid"] for entry in people] == [101, 102, 103]
    assert set(people[0]) == {"participant_uid", "university_name", "collection_date", "metadata"}
    splits = make_splits(TRUTH)
    listed = [uid for uids in splits["split_to_take_uids"].values() for uid in uids]
    assert sorted(listed) == sorted(splits["take_uid_to_split"])
    assert len(listed) == len(TRUTH.takes) + 1


def test_timesync_gives_the_true_stamps_back(tmp_path: Path) -> None:
    take = TRUTH.takes[0]
    path = tmp_path / "timesync.csv"
    write_timesync(path, clock=take.clock)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == take.clock.rows
    cells = [row["aria01_214-1_capture_timestamp_ns"] for row in rows]
    assert [i for i, cell in enumerate(cells) if not cell] == list(take.clock.empty_rows)
    assert all(cell == "" or cell.endswith(".0") for cell in cells)
    exact = row_device_ns(take.clock)
    written = np.array([float(cell) if cell else np.nan for cell in cells])
    kept = ~np.isnan(written)
    np.testing.assert_array_equal(written[kept].astype(np.int64), exact[kept])
    frames = written[take.start_row : take.start_row + take.frames]
    some = ~np.isnan(frames)
    np.testing.assert_array_equal(frames[some].astype(np.int64), frame_device_ns(take)[some])
    # Cameras that start one after the other; the first has no empty cell and keeps whole numbers.
    assert rows[0]["cam01_frame_number"] == "0"
    assert [rows[4][f"cam0{k}_frame_number"] for k in (1, 2)] == ["4", ""]
    assert rows[5]["cam02_frame_number"] == "0.0"
    assert sum(row["aria01_211-1_frame_number"] != "" for row in rows) == -(-len(rows) // 3)
    assert set(rows[0]) == {
        *(f"aria01_{s}_{n}" for s in ("214-1", "1201-1", "1201-2", "211-1")
          for n in ("capture_timestamp_ns", "frame_number")),
        *(f"cam0{k}_{n}" for k in range(1, 5) for n in ("frame_number", "pts", "global_time")),
    }  # fmt: skip


def test_rows_missing_and_folder_outside_are_in_the_metadata(tmp_path: Path) -> None:
    faults = ["timesync_rows_missing", "path_escape"]
    truth = plan_dataset(takes=3, seconds=2, seed=3, faults=faults)
    whole, outside, cut = truth.takes
    entries = make_takes(truth)
    assert entries[1]["root_dir"] == f"../outside/{outside.take_name}"
    assert [entries[i]["root_dir"] for i in (0, 2)] == [
        f"takes/{take.take_name}" for take in (whole, cut)
    ]
    assert cut.clock.rows_in_file is not None
    write_timesync(tmp_path / "cut.csv", clock=cut.clock)
    with (tmp_path / "cut.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    write_timesync(tmp_path / "all.csv", clock=cut.clock.model_copy(update={"rows_in_file": None}))
    with (tmp_path / "all.csv").open(newline="") as file:
        every = list(csv.reader(file))[1:]
    assert rows == every[: cut.clock.rows_in_file]
    assert cut.start_row < len(rows) < cut.end_row < len(every)
