import numpy as np
import numpy.typing as npt
import pytest

from pipelines.video.decode_runs import DecodeRun, plan_runs
from pipelines.video.packet_times import PacketTimes


def as_int64(values: object) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def make_times(places: list[int], *, keys: list[int]) -> PacketTimes:
    """Frame i is shown at 10 i and stands at ``places[i]``; ``keys`` are frames."""
    pts = 10 * np.arange(len(places), dtype=np.int64)
    return PacketTimes(
        pts=pts,
        pts_ns=pts,
        places=as_int64(places),
        packets=max(places) + 1,
        key_places=as_int64([places[k] for k in keys]),
        key_pts=pts[keys],
        key_seek=pts[keys],
        in_order=places == sorted(places),
    )


def plan(indices: list[int], times: PacketTimes, *, jump: bool = True) -> list[DecodeRun]:
    return list(plan_runs(as_int64(indices), times=times, jump=jump))


def run(start: int, stop: int, first: int, last: int, key: int) -> DecodeRun:
    return DecodeRun(start=start, stop=stop, first_packet=first, last_packet=last, key=key)


PLAIN = make_times(list(range(100)), keys=[0, 30, 60, 90])


def test_neighbours_share_a_run_and_distant_frames_do_not() -> None:
    assert plan([1, 25, 35], PLAIN) == [run(0, 3, 0, 35, -1)]
    assert plan([1, 5, 35], PLAIN) == [run(0, 2, 0, 5, -1), run(2, 3, 30, 35, 1)]
    assert plan([95], PLAIN) == [run(0, 1, 90, 95, 3)]
    assert plan([], PLAIN) == []


def test_a_jump_must_save_eight_packets() -> None:
    assert len(plan([22, 30], PLAIN)) == 1
    assert len(plan([21, 30], PLAIN)) == 2
    assert plan([9], make_times(list(range(30)), keys=[0, 7])) == [run(0, 1, 0, 9, -1)]
    assert plan([9], make_times(list(range(30)), keys=[0, 8])) == [run(0, 1, 8, 9, 1)]


def test_without_jumps_all_is_one_run_from_the_start() -> None:
    assert plan([1, 95], PLAIN, jump=False) == [run(0, 2, 0, 95, -1)]
    assert plan([95], make_times(list(range(100)), keys=[])) == [run(0, 1, 0, 95, -1)]


def test_a_run_ends_with_the_packet_that_stands_last() -> None:
    # Shown 0 1 2 3 4, stored 0 4 2 1 3: frame 4 comes before the frames that lean on it.
    times = make_times([0, 3, 2, 4, 1], keys=[0])
    assert plan([4], times) == [run(0, 1, 0, 1, -1)]
    assert plan([1, 3, 4], times) == [run(0, 3, 0, 4, -1)]


def test_frames_shown_before_the_key_frame_they_follow_need_the_one_before() -> None:
    # The key frame shown at 25 stands before frames 20 to 24.
    places = [*range(20), *range(21, 26), 20, *range(26, 50)]
    times = make_times(places, keys=[0, 25])
    assert plan([22], times) == [run(0, 1, 0, 23, -1)]
    assert plan([25], times) == [run(0, 1, 20, 20, 1)]
    assert plan([2, 24, 26], times) == [run(0, 3, 0, 26, -1)]


@pytest.mark.parametrize("seed", range(20))
def test_runs_cover_what_is_wanted_and_save_what_they_can(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = sorted({0, *rng.choice(300, size=9).tolist()})
    times = make_times(list(range(300)), keys=keys)
    wanted = np.sort(rng.choice(300, size=int(rng.integers(1, 30)), replace=False)).tolist()
    decoded: set[int] = set()
    reached = -1
    slow: list[int] = []
    # One frame after another: jump where the key frame is far enough ahead.
    for frame in wanted:
        key = max(k for k in keys if k <= frame)
        begin = key if key - reached > 8 else reached + 1
        slow += range(begin, frame + 1)
        reached = frame
    for found in plan(wanted, times):
        decoded.update(range(found.first_packet, found.last_packet + 1))
    assert sorted(decoded) == slow
    assert set(wanted) <= decoded
