from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.imu.sample_counts import COUNT_COLUMNS, SampleCounter
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import Interval

STEP = 100
MAX_GAP = 70


def stamps(*t_ns: int) -> npt.NDArray[np.int64]:
    return np.array(t_ns, np.int64)


def run(
    accel: Sequence[int] = (), *, invalid: Sequence[int] = (), saturated: Sequence[int] = ()
) -> ImuSamples:
    """A run whose gyro has more samples, which must not count."""
    t_ns = stamps(*accel)
    twice = np.unique(np.concatenate([t_ns, t_ns + 1]))
    return ImuSamples(
        accel=TriadSamples(t_ns=t_ns, values=np.zeros((len(t_ns), 3))),
        gyro=TriadSamples(t_ns=twice, values=np.zeros((len(twice), 3))),
        invalid_ns=stamps(*invalid),
        saturated_ns=stamps(*saturated),
    )


def count(
    runs: Sequence[ImuSamples], *, span: Interval, blocks: Sequence[int]
) -> dict[str, list[float]]:
    """All runs are read before the first block is given away."""
    counter = SampleCounter(span=span, step_ns=STEP, max_gap_ns=MAX_GAP)
    assert list(counter.watch(runs)) == list(runs)
    given = [counter.give(points) for points in blocks]
    for block in given:
        assert {name: values.dtype for name, values in block.items()} == COUNT_COLUMNS
    return {name: np.concatenate([b[name] for b in given]).tolist() for name in COUNT_COLUMNS}


def slow(
    accel: Sequence[int], *, invalid: Sequence[int], saturated: Sequence[int], grid: Sequence[int]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in COUNT_COLUMNS}
    for t in grid:
        inside = [i for i, s in enumerate(accel) if t <= s < t + STEP]
        between = [accel[i] - accel[i - 1] for i in inside if i > 0]
        between = [b for b in between if b <= MAX_GAP]
        found["samples"].append(len(inside))
        found["invalid_samples"].append(sum(t <= s < t + STEP for s in invalid))
        found["saturated_samples"].append(sum(t <= s < t + STEP for s in saturated))
        found["intervals"].append(len(between))
        found["interval_sum_ns"].append(sum(between))
        total = 0.0
        for b in between:
            total += (b / 1000) ** 2
        found["interval_sum_us2"].append(total)
    return found


@pytest.mark.parametrize("run_length", [1, 7, 1000])
@pytest.mark.parametrize("blocks", [[20], [1] * 20, [13, 7]])
def test_counts_by_slow_loop_whatever_the_runs_and_blocks(
    run_length: int, blocks: list[int]
) -> None:
    rng = np.random.default_rng(0)
    accel = np.cumsum(rng.choice([3, 17, 29, 40, 71, 230], size=90)) - 600
    assert accel[0] < -STEP < 2000 < accel[-1]
    invalid = np.sort(rng.integers(-500, 2300, size=40))
    saturated = np.sort(rng.integers(-500, 2300, size=40))
    runs = []
    for low in range(0, len(accel), run_length):
        here = accel[low : low + run_length]
        until = accel[low + run_length] if low + run_length < len(accel) else 10**9
        since = accel[low] if low else -(10**9)
        runs.append(
            run(
                here.tolist(),
                invalid=invalid[(invalid >= since) & (invalid < until)].tolist(),
                saturated=saturated[(saturated >= since) & (saturated < until)].tolist(),
            )
        )
    span = Interval(-50, 1950)
    grid = range(0, 1950, STEP)
    wanted = slow(
        accel.tolist(), invalid=invalid.tolist(), saturated=saturated.tolist(), grid=list(grid)
    )
    assert count(runs, span=span, blocks=blocks) == wanted
    assert all(any(column) for column in wanted.values())


def test_stamp_at_a_grid_point_belongs_to_it_and_the_end_is_open() -> None:
    found = count([run([0, 99, 100, 199, 200])], span=Interval(0, 200), blocks=[2])
    assert found["samples"] == [2, 2]


def test_interval_as_long_as_the_limit_counts_and_a_longer_one_is_a_gap() -> None:
    found = count([run([0, 70]), run([141])], span=Interval(0, 200), blocks=[2])
    assert found["intervals"] == [1, 0]
    assert found["interval_sum_ns"] == [70, 0]


def test_first_interval_of_a_take_may_begin_before_it() -> None:
    found = count([run([-30]), run([20])], span=Interval(0, 100), blocks=[1])
    assert found["intervals"] == [1]
    assert found["interval_sum_ns"] == [50]


def test_runs_read_after_a_block_count_from_there_on() -> None:
    counter = SampleCounter(span=Interval(0, 300), step_ns=STEP, max_gap_ns=MAX_GAP)
    runs = counter.watch([run([0, 60, 120]), run([180, 240])])
    next(runs)
    assert counter.give(1)["samples"].tolist() == [2]
    next(runs)
    second = counter.give(2)
    assert second["samples"].tolist() == [2, 1]
    assert second["interval_sum_ns"].tolist() == [120, 60]


def test_nothing_recorded_counts_nothing() -> None:
    found = count([], span=Interval(0, 250), blocks=[3])
    assert found == {name: [0, 0, 0] for name in COUNT_COLUMNS}
    assert count([run([5])], span=Interval(0, 0), blocks=[0])["samples"] == []


def test_only_what_lies_ahead_is_held() -> None:
    counter = SampleCounter(span=Interval(0, 10_000_000), step_ns=STEP, max_gap_ns=MAX_GAP)
    held = []
    for i, _ in enumerate(counter.watch(run([k * STEP]) for k in range(2000))):
        if i % 10 == 9:
            counter.give(10)
        held.append(len(counter._ahead["samples"]))
    assert max(held) <= 10
