"""What stages did adds up, whoever reports it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.profile.work import StageWork, WorkMeter


def test_work_of_many_threads_is_all_counted() -> None:
    meter = WorkMeter()
    with ThreadPoolExecutor(max_workers=4) as pool:
        for _ in range(200):
            pool.submit(meter.add, "imu", seconds=0.5, items=3, bytes_in=7, bytes_out=2)
    assert meter.work() == {
        "imu": StageWork(seconds=100.0, items=600, bytes_in=1400, bytes_out=400)
    }


def test_seconds_of_a_stage_that_raises_are_counted() -> None:
    meter = WorkMeter()
    with pytest.raises(RuntimeError, match="broke"), meter.timed("text"):
        raise RuntimeError("broke")
    assert meter.work()["text"].seconds > 0


def test_a_stage_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stage must be one of .*, got cooking"):
        WorkMeter().add("cooking", seconds=1)
