import numpy as np
import pytest

from pipelines.imu.gpmf_clock import GpmfClocks, SampleLine

S = 1_000_000_000
LATE_NS = np.array([0, 9, -4, 13, 2, -7, 11, 5], dtype=np.int64) * 1_000_000


def clocks(*, stamped: bool, unstamped_payload: int | None = None) -> GpmfClocks:
    """Eight payloads of two sensors; the gyro's first sample is 1.25 ms after the accel's."""
    gathered = GpmfClocks()
    for i in range(8):
        for key, rate, phase_ns in (("ACCL", 200, 0), ("GYRO", 400, 1_250_000)):
            number = i * rate
            taken_ns = number * S // rate + phase_ns
            gathered.add(
                key,
                number,
                pts_ns=int(taken_ns + LATE_NS[i]),
                stamp_ns=taken_ns + 77 * S if stamped and i != unstamped_payload else None,
            )
    return gathered


def test_line_through_stamps_is_exact_where_payloads_jitter() -> None:
    gathered = clocks(stamped=True)
    lines = gathered.lines()
    assert gathered.timing == "stmp"
    assert lines["ACCL"].step_ns == S / 200
    assert lines["GYRO"].step_ns == S / 400
    assert lines["GYRO"].first_ns - lines["ACCL"].first_ns == pytest.approx(1_250_000)
    # Laid where stamps and presentation times agree on average.
    assert gathered.offset_ns == -77 * S + LATE_NS.mean()
    assert lines["ACCL"].first_ns == pytest.approx(LATE_NS.mean())


def test_line_through_payloads_is_numpys_own_fit() -> None:
    gathered = clocks(stamped=False)
    line = gathered.lines()["GYRO"]
    assert gathered.timing == "payload"
    numbers = np.arange(8) * 400
    step_ns, first_ns = np.polyfit(numbers, numbers * S / 400 + 1_250_000 + LATE_NS, 1)
    assert line.step_ns == pytest.approx(step_ns, rel=1e-12)
    assert line.first_ns == pytest.approx(first_ns, abs=1)


def test_one_payload_without_a_stamp_turns_all_to_payload_times() -> None:
    gathered = clocks(stamped=True, unstamped_payload=3)
    assert gathered.timing == "payload"
    assert gathered.lines() == clocks(stamped=False).lines()


def test_one_payload_alone_tells_no_rate() -> None:
    gathered = GpmfClocks()
    gathered.add("ACCL", 40, pts_ns=5, stamp_ns=None)
    assert gathered.lines() == {"ACCL": SampleLine(first=40, first_ns=5.0, step_ns=0.0)}


def test_nothing_gathered_has_no_lines() -> None:
    assert GpmfClocks().lines() == {}
    assert GpmfClocks().timing == "payload"


def test_times_count_from_the_first_number() -> None:
    line = SampleLine(first=100, first_ns=7.6, step_ns=2.5)
    assert line.t_ns(np.array([100, 101, 104])).tolist() == [8, 10, 18]
