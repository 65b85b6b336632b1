import itertools
from collections import Counter

import numpy as np
import pytest

from pipelines.synthetic.faults import faults_of
from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.truth import row_device_ns
from schemas.errors import UsageError


def test_takes_go_round_activities_then_participants() -> None:
    truth = plan_dataset(takes=32, seconds=40, seed=0, participants=4)
    pairs = Counter((take.activity, take.participant.participant_uid) for take in truth.takes)
    assert len(pairs) == 32
    assert set(pairs.values()) == {1}
    assert len({take.take_uid for take in truth.takes}) == 32
    assert {take.split for take in truth.takes} == {"train", "val", "test"}
    # No participant stands in two splits.
    assert len({(t.participant.participant_uid, t.split) for t in truth.takes}) == 4


def test_rows_of_a_take_follow_the_frame_count_rule() -> None:
    truth = plan_dataset(takes=8, seconds=12, seed=1)
    surplus = [take.end_row - take.start_row - take.frames for take in truth.takes]
    assert surplus == [1, 0] * 4
    assert {take.frames for take in truth.takes} == {360}
    assert all(take.start_row >= 45 for take in truth.takes)


def test_takes_of_one_capture_share_its_clock_and_do_not_overlap() -> None:
    truth = plan_dataset(takes=24, seconds=10, seed=1)
    shared = 0
    for first in truth.takes:
        for second in truth.takes:
            if first.capture_uid == second.capture_uid and first.start_row < second.start_row:
                shared += 1
                assert first.clock == second.clock
                assert first.imu[0].first_ns < second.imu[0].first_ns
                assert first.end_row + 90 < second.start_row
                assert second.end_row < second.clock.rows
    assert shared == 8


def test_clocks_drift_jitter_and_have_short_holes() -> None:
    for take in plan_dataset(takes=8, seconds=40, seed=2).takes:
        clock = take.clock
        steps = np.diff(row_device_ns(clock))
        assert steps.min() > 25_000_000
        assert 30 <= abs(clock.drift_ppm) <= 200
        assert np.mean(steps) == pytest.approx(1e9 / 30 * (1 + clock.drift_ppm * 1e-6), rel=3e-5)
        assert steps.std() == pytest.approx(300_000 * np.sqrt(2), rel=0.15)
        inside = [row for row in clock.empty_rows if take.start_row <= row < take.end_row]
        assert len(inside) >= 2
        later = np.array([row for row in clock.empty_rows if row > 2])
        longest = max(len(run) for run in np.split(later, np.flatnonzero(np.diff(later) > 1) + 1))
        assert longest == 2


def test_imu_starts_before_and_ends_after_the_video() -> None:
    for take in plan_dataset(takes=16, seconds=10, seed=2).takes:
        end_ns = take.origin_ns + take.frames * take.clock.period_ns
        for stream in take.imu:
            last_ns = stream.first_ns + stream.samples * 1e9 / stream.rate_hz
            assert 0.29e9 < take.origin_ns - stream.first_ns < 1.51e9
            assert 0.29e9 < last_ns - end_ns < 1.51e9


def test_sub_actions_last_four_to_nine_seconds_and_cover_the_take() -> None:
    for take in plan_dataset(takes=16, seconds=40, seed=5).takes:
        parts = take.sub_actions
        assert parts[0].start_s == 0
        assert parts[-1].end_s == 40
        for part, following in itertools.pairwise(parts):
            assert part.end_s == following.start_s
            assert part.sub_action != following.sub_action
            assert 4 <= part.end_s - part.start_s <= 9
        assert 4 <= parts[-1].end_s - parts[-1].start_s <= 13


FAULTS = tuple(faults_of("egoexo4d"))


def test_each_fault_spoils_another_take_the_last_ones_first() -> None:
    truth = plan_dataset(takes=len(FAULTS) + 2, seconds=9, seed=0, faults=["all"])
    assert [take.fault for take in truth.takes] == [None, None, *reversed(FAULTS)]
    of = {take.fault: take for take in truth.takes}
    gap = of["imu_gap"].imu_gap_ns
    assert gap is not None
    assert gap[1] - gap[0] == 400_000_000
    frames = {name: take.frames_in_file for name, take in of.items() if take.frames_in_file != 270}
    assert frames == {
        "video_short": 243,
        "video_truncated": 0,
        "video_empty": 0,
        "video_audio_only": 0,
    }


def test_faults_of_the_imu_move_its_ends() -> None:
    clean = plan_dataset(takes=3, seconds=9, seed=0).takes
    spoilt = plan_dataset(takes=3, seconds=9, seed=0, faults=["imu_short", "imu_late"]).takes
    assert clean[0] == spoilt[0]
    for whole, cut in zip(clean[2].imu, spoilt[2].imu, strict=True):
        end_ns = spoilt[2].origin_ns + 270 * spoilt[2].clock.period_ns
        last_ns = cut.first_ns + cut.samples * 1e9 / cut.rate_hz
        assert cut.first_ns == whole.first_ns
        assert last_ns == pytest.approx(end_ns - 6e9, abs=3e6)
    # What is stamped 0.8 s late began that much earlier: the stamps cover the take all the same.
    assert spoilt[1].imu_late_ns == 800_000_000
    for whole, late in zip(clean[1].imu, spoilt[1].imu, strict=True):
        assert late.first_ns + 800_000_000 == whole.first_ns
        assert late.samples == pytest.approx(whole.samples, abs=1)


def test_capture_that_ends_early_is_the_spoilt_takes_own() -> None:
    clean = plan_dataset(takes=16, seconds=2, seed=0)
    for number in range(16):
        spoilt = plan_dataset(takes=number + 1, seconds=2, seed=0, faults=["timesync_rows_missing"])
        (take,) = (take for take in spoilt.takes if take.fault)
        rows = take.clock.rows_in_file
        assert rows is not None
        assert take.start_row < rows < take.end_row
        others = [other for other in spoilt.takes if not other.fault]
        assert take.capture_uid not in {other.capture_uid for other in others}
        assert others == list(clean.takes[:number])


def test_takes_too_short_for_their_fault_are_refused() -> None:
    with pytest.raises(UsageError, match=r"at least 8 for imu_short, got 7\.5"):
        plan_dataset(takes=1, seconds=7.5, seed=0, faults=["imu_short"])


def test_faults_leave_the_other_takes_as_they_are() -> None:
    clean = plan_dataset(takes=3, seconds=2, seed=0)
    spoilt = plan_dataset(takes=3, seconds=2, seed=0, faults=["vrs_missing"])
    assert clean.takes[:2] == spoilt.takes[:2]


def test_unknown_fault_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"of egoexo4d must be among vrs_missing, .*, got lens_cap"
    ):
        plan_dataset(takes=2, seconds=2, seed=0, faults=["lens_cap"])


def test_more_faults_than_takes_are_refused() -> None:
    with pytest.raises(UsageError, match="no more than takes=1, got 2"):
        plan_dataset(takes=1, seconds=2, seed=0, faults=["imu_gap", "vrs_missing"])


@pytest.mark.parametrize(("takes", "seconds", "participants"), [(0, 2, 1), (1, 0, 1), (1, 2, 0)])
def test_impossible_numbers_are_refused(takes: int, seconds: float, participants: int) -> None:
    with pytest.raises(UsageError, match="must be at least 1"):
        plan_dataset(takes=takes, seconds=seconds, seed=0, participants=participants)
