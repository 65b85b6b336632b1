from typing import Any

import numpy as np
import pytest

from pipelines.segments.filters import (
    drop_faulty,
    filter_segments,
    find_frame_faults,
    find_imu_faults,
    find_text_faults,
)


def imu_faults(valid: list[int], first: list[int], samples: int = 3) -> list[str]:
    recorded = np.array(valid, np.bool_)
    return [str(r) for r in find_imu_faults(recorded, first=np.array(first), samples=samples)]


@pytest.mark.parametrize(
    ("valid", "first", "reason"),
    [
        pytest.param([1, 1, 1, 1, 1], 1, "", id="whole"),
        pytest.param([1, 1, 1, 1, 1], 2, "", id="up_to_the_last_sample"),
        pytest.param([1, 1, 1, 1, 1], 3, "imu_missing", id="past_the_grid"),
        pytest.param([1, 1, 1, 1, 1], -1, "imu_missing", id="before_the_grid"),
        pytest.param([0, 1, 1, 1, 1], 0, "imu_missing", id="before_the_recording"),
        pytest.param([1, 1, 1, 1, 0], 2, "imu_missing", id="after_the_recording"),
        pytest.param([1, 1, 0, 1, 1], 0, "imu_gap", id="gap_at_its_end"),
        pytest.param([1, 0, 1, 1, 1], 1, "imu_gap", id="gap_at_its_start"),
        pytest.param([1, 0, 1, 1, 1], 2, "", id="gap_just_before"),
        pytest.param([0, 0, 0, 0, 0], 0, "imu_missing", id="nothing_recorded"),
        pytest.param([], 0, "imu_missing", id="no_part"),
    ],
)
def test_imu_reasons(valid: list[int], first: int, reason: str) -> None:
    assert imu_faults(valid, [first]) == [reason]


def test_imu_reasons_by_slow_loop() -> None:
    rng = np.random.default_rng(0)
    valid = rng.random(60) > 0.15
    recorded = np.flatnonzero(valid)
    first = list(range(-3, 62))
    slow = []
    for i in first:
        points = list(range(i, i + 4))
        if points[0] < recorded[0] or points[-1] > recorded[-1]:
            slow.append("imu_missing")
        else:
            slow.append("" if all(valid[p] for p in points) else "imu_gap")
    assert imu_faults(valid.tolist(), first, samples=4) == slow
    assert set(slow) == {"", "imu_gap", "imu_missing"}


@pytest.mark.parametrize(
    ("found", "expected", "reason"),
    [
        pytest.param(50, 50, "", id="all"),
        pytest.param(45, 50, "", id="a_tenth_missing"),
        pytest.param(44, 50, "frames_missing", id="more_than_a_tenth"),
        pytest.param(0, 50, "frames_missing", id="none"),
        pytest.param(0, 0, "frames_missing", id="no_grid_point"),
    ],
)
def test_frames_may_lack_a_tenth(found: int, expected: int, reason: str) -> None:
    faults = find_frame_faults(np.array([found]), expected=np.array([expected]))
    assert faults.tolist() == [reason]


def faults(**lacking: list[int]) -> dict[Any, Any]:
    """Three segments; ``lacking`` names the modality and the rows without it."""
    reasons = {"imu": "imu_gap", "video": "frames_missing", "text": "text_empty"}
    found = {name: np.full(3, "", dtype="<U20") for name in reasons}
    for name, rows in lacking.items():
        found[name][rows] = reasons[name]
    return found


def test_required_modality_drops_and_names_its_reason() -> None:
    found = filter_segments(faults(text=[1]), required=("imu", "video", "text"))
    assert found.keep.tolist() == [True, False, True]
    assert found.drops == {"text_empty": 1}


def test_segment_lacking_several_counts_once_under_the_first() -> None:
    lacking = faults(imu=[0], video=[0, 1], text=[0, 1, 2])
    found = filter_segments(lacking, required=("imu", "video", "text"))
    assert found.drops == {"imu_gap": 1, "frames_missing": 1, "text_empty": 1}
    assert not found.keep.any()


def test_modality_not_required_is_marked_absent() -> None:
    found = filter_segments(faults(video=[2], text=[0]), required=("imu",))
    assert found.keep.all()
    assert found.drops == {}
    assert found.valid.tolist() == [[True, True, False], [True, True, True], [True, False, True]]


def test_text_without_embedding_is_empty() -> None:
    assert find_text_faults(np.array([True, False])).tolist() == ["", "text_empty"]


def test_later_faults_fall_only_on_what_is_left() -> None:
    found = filter_segments(faults(text=[1]), required=("text",))
    more = drop_faulty(found, faults=np.array(["ambiguous", "ambiguous", ""]))
    assert more.keep.tolist() == [False, False, True]
    assert more.drops == {"text_empty": 1, "ambiguous": 1}
    assert more.valid is found.valid
    assert found.keep.tolist() == [True, False, True]
