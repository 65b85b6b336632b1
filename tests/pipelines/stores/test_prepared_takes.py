import json
from dataclasses import replace
from pathlib import Path

from pipelines.outcome import TakeOutcome
from pipelines.stores.prepared_takes import (
    PreparedTake,
    make_prepared_take,
    read_takes,
    write_takes,
)
from schemas.take import ImuStream, VideoStream
from schemas.time import Interval
from tests.factories import make_narration, make_take


def make_prepared(uid: str, **fields: object) -> PreparedTake:
    prepared = PreparedTake(
        take=make_take(uid),
        narrations=(
            make_narration(1.5, "öffnet die Tür", subject="wearer", visible=True),
            make_narration(0.5, "", visible=False),
            make_narration(-2.0, "walks"),
        ),
        span=Interval(-3, 7_000_000_000),
        clock_uncertainty_ns=33,
        split="train",
        imu_key="1" * 64,
        frames_key="2" * 64,
        text_key="3" * 64,
    )
    return replace(prepared, **fields)  # type: ignore[arg-type]


def test_takes_come_back_as_they_were_by_way_of_json(tmp_path: Path) -> None:
    chaptered = make_take(
        "b",
        participant=None,
        label=None,
        video=VideoStream(path="b/1.mp4", variant="full", later_paths=("b/2.mp4",)),
        imu=ImuStream(path="b/1.mp4", label="gpmf", later_paths=("b/2.mp4",)),
        clock_paths=("b/clock.csv",),
        duration_ns=5,
    )
    takes = [
        make_prepared("a"),
        make_prepared("b", take=chaptered, split=None, raw_imu_key="4" * 64),
        make_prepared(
            "c",
            take=make_take("c", video=None, imu=None),
            narrations=(),
            imu_key=None,
            frames_key=None,
            text_key=None,
        ),
    ]
    path = tmp_path / "narrations.arrow"
    plain = json.loads(json.dumps(write_takes(path, takes)))
    assert read_takes(path, plain) == takes


def test_what_preparation_came_to_is_joined_with_the_take() -> None:
    outcome = TakeOutcome(
        take_uid="a",
        status="ready",
        start_ns=-3,
        end_ns=7,
        clock_uncertainty_ns=33,
        keys={"imu": "1" * 64, "raw_imu": "4" * 64, "text": "3" * 64},
    )
    said = (make_narration(1.5, "walks"),)
    assert make_prepared_take(
        make_take("a"), outcome=outcome, narrations=said, split="val"
    ) == make_prepared(
        "a",
        narrations=said,
        span=Interval(-3, 7),
        split="val",
        frames_key=None,
        raw_imu_key="4" * 64,
    )


def test_what_decided_the_clock_stays_behind(tmp_path: Path) -> None:
    prepared = make_prepared("a", take=make_take("a", extras={"start_row": 3}))
    path = tmp_path / "narrations.arrow"
    (back,) = read_takes(path, write_takes(path, [prepared]))
    assert back == replace(prepared, take=make_take("a"))


def test_no_takes(tmp_path: Path) -> None:
    path = tmp_path / "narrations.arrow"
    assert read_takes(path, write_takes(path, [])) == []
