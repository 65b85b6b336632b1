from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipelines.segments.ego4d_labels import EGO4D_LABELS
from pipelines.synthetic.ego4d_truth import (
    SCENARIOS,
    Ego4DTruth,
    ego4d_imu_truth,
    frame_times,
    plan_ego4d,
    read_ego4d_truth,
)
from pipelines.synthetic.faults import faults_of
from pipelines.synthetic.truth import imu_sample_ns
from schemas.errors import UsageError

S = 1_000_000_000


def test_a_plan_depends_on_its_arguments_alone() -> None:
    one = plan_ego4d(takes=5, seconds=12, seed=3, participants=2)
    assert one == plan_ego4d(takes=5, seconds=12, seed=3, participants=2)
    assert one != plan_ego4d(takes=5, seconds=12, seed=4, participants=2)
    # More takes, and faults given to them, leave the first ones as they are.
    more = plan_ego4d(takes=9, seconds=12, seed=3, participants=2, faults=["imu_gap", "imu_nan"])
    assert more.takes[:5] == one.takes
    assert [take.fault for take in more.takes[-3:]] == [None, "imu_nan", "imu_gap"]


def test_several_of_the_ten_classes_and_a_video_of_two_scenarios() -> None:
    takes = plan_ego4d(takes=16, seconds=5, seed=0, participants=2).takes
    assert [take.activity for take in takes] == [*range(8)] * 2
    labels = {take.label for take in takes}
    assert None in labels
    assert len(labels - {None}) == 7
    assert labels - {None} <= set(EGO4D_LABELS)
    for take in takes:
        assert take.scenarios == SCENARIOS[take.activity]
        assert (take.label is None) == (len(take.scenarios) == 2)
    assert [take.participant.participant_uid for take in takes] == [101] * 8 + [102] * 8


@pytest.mark.parametrize(("seconds", "counts"), [(12, [1, 2, 1]), (960, [3, 4, 3])])
def test_components_cover_the_video_and_their_samples_the_components(
    seconds: int, counts: list[int]
) -> None:
    takes = plan_ego4d(takes=3, seconds=seconds, seed=1).takes
    assert [len(take.components) for take in takes] == counts
    for take in takes:
        parts = take.components
        assert (parts[0].start_ns, parts[-1].end_ns) == (0, take.duration_ns)
        stamps = [imu_sample_ns(part.imu) for part in parts]
        for before, after in pairwise(parts):
            assert before.end_ns == after.start_ns
            assert before.start_ns < before.end_ns
        joined = np.concatenate(stamps)
        assert (np.diff(joined) > 0).all()
        assert np.diff(joined).max() < 2 * S / 201
        assert joined[0] == pytest.approx(-1.5 * S, abs=0.006 * S)
        assert joined[-1] == pytest.approx(take.duration_ns + 1.5 * S, abs=0.011 * S)
        assert {part.imu.instance for part in parts} == set(range(len(parts)))
        for part in parts:
            assert part.imu.rate_hz == pytest.approx(201, rel=1e-3)


def test_faults_of_time_are_in_the_plan() -> None:
    names = ["imu_gap", "imu_short", "imu_late", "video_2997"]
    gap, short, late, ntsc = reversed(plan_ego4d(takes=4, seconds=20, seed=1, faults=names).takes)
    assert gap.imu_gap_ns == (10 * S, 10 * S + 400_000_000)
    assert short.imu_end_ns == 14 * S
    assert late.imu_late_ns == 800_000_000
    assert ntsc.duration_ns == 20_020_000_000
    assert frame_times(ntsc).ns()[30] == 1_001_000_000
    assert frame_times(gap).ns()[30] == S


def test_every_fault_of_the_table_can_be_planned() -> None:
    names = list(faults_of("ego4d"))
    takes = plan_ego4d(takes=len(names), seconds=12, seed=1, faults=["all"]).takes
    assert [take.fault for take in reversed(takes)] == names


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"takes": 0}, "takes, participants and seconds must be at least 1, got 0, 4, 5"),
        ({"seconds": 0.5}, "at least 1, got 1, 4, 0.5"),
        ({"faults": ["vrs_missing"]}, "faults of ego4d must be among imu_file_missing"),
        ({"faults": ["imu_gap", "imu_nan"]}, "no more than takes=1, got 2"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"takes": 1, "seconds": 5, "seed": 0, **arguments}
    with pytest.raises(UsageError, match=said):
        plan_ego4d(**given)  # type: ignore[arg-type]


def test_truth_goes_through_its_file(tmp_path: Path) -> None:
    truth = plan_ego4d(takes=2, seconds=5, seed=9, faults=["imu_gap"])
    (tmp_path / "truth.json").write_text(truth.model_dump_json())
    assert read_ego4d_truth(tmp_path) == truth
    (tmp_path / "truth.json").write_text('{"dataset": "egoexo4d"}')
    with pytest.raises(UsageError, match="must fit its schema"):
        read_ego4d_truth(tmp_path)
    with pytest.raises(UsageError, match="must lie in a synthetic dataset"):
        read_ego4d_truth(tmp_path / "nowhere")


def test_signal_is_the_motions_own() -> None:
    # The gyroscope is the angles' derivative where the head is not rolled; gravity is always felt.
    truth: Ego4DTruth = plan_ego4d(takes=1, seconds=30, seed=2)
    t_ns = np.arange(0, 30 * S, 5_000_000)
    values = ego4d_imu_truth(truth.takes[0], t_ns)
    assert values.shape == (6000, 6)
    assert np.linalg.norm(values[:, :3].mean(axis=0)) == pytest.approx(9.81, rel=0.1)
    assert np.abs(values[:, 3:]).max() < 10
    again = ego4d_imu_truth(truth.takes[0], t_ns[1000:1010])
    np.testing.assert_array_equal(again, values[1000:1010])
