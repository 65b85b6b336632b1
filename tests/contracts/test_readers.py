"""What every dataset reader promises, held to one class of tests on tiny data."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.base import DatasetReader
from pipelines.datasets.registry import open_reader
from pipelines.synthetic.ego4d import write_ego4d
from pipelines.synthetic.egoexo4d import write_egoexo4d
from pipelines.synthetic.folder import write_folder
from pipelines.synthetic.realworld import write_realworld
from schemas.errors import TakeError, UsageError
from schemas.imu import ImuSamples
from schemas.segment import SPLITS
from schemas.take import Take
from schemas.time import NS_PER_S

pytestmark = pytest.mark.slow

SECONDS = 6.0


def write_gopro(dest: Path, shared_data: Path) -> None:
    (dest / "clips").mkdir(parents=True)
    shutil.copyfile(shared_data / "gopro_karma.mp4", dest / "clips" / "karma.mp4")
    captions = "WEBVTT\n\n00:05.000 --> 00:06.000\nC turns\n\n00:01.000 --> 00:02.000\nC stands\n"
    (dest / "clips" / "karma.vtt").write_text(captions)


@dataclass(frozen=True)
class Data:
    """One dataset on disk."""

    name: str
    root: Path
    takes: int
    """Takes it has, those with a fault included."""
    faulty: int
    """Takes that the catalogue alone rules out."""

    def open(self, root: Path | None = None) -> DatasetReader:
        """Return a reader of this dataset, or of another folder as this dataset."""
        config = DatasetConfig.model_validate({"name": self.name, "root": root or self.root})
        return open_reader(config, imu=ImuConfig(), video=VideoConfig(), text=TextConfig())


WRITERS: dict[str, tuple[int, int, Callable[[Path, Path], None]]] = {
    "egoexo4d": (
        2,
        1,
        lambda dest, _: write_egoexo4d(
            dest, takes=2, seconds=SECONDS, seed=0, participants=2, faults=["vrs_missing"]
        ),
    ),
    "ego4d": (
        2,
        1,
        lambda dest, _: write_ego4d(
            dest,
            takes=2,
            seconds=SECONDS,
            seed=0,
            participants=2,
            faults=["imu_file_missing"],
            size_px=160,
        ),
    ),
    # Climbing down by one person in three parts and by another in one, without gyroscope.
    "realworld": (
        4,
        1,
        lambda dest, _: write_realworld(
            dest, takes=2, seconds=SECONDS, seed=0, participants=2, faults=["imu_file_missing"]
        ),
    ),
    "gopro": (1, 0, write_gopro),
    "folder": (
        2,
        1,
        lambda dest, _: write_folder(
            dest, takes=2, seconds=SECONDS, seed=0, participants=2, faults=["imu_file_missing"]
        ),
    ),
}


@pytest.fixture(scope="module", params=list(WRITERS))
def data(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_data: Path
) -> Data:
    """Each dataset in turn."""
    name: str = request.param
    takes, faulty, write = WRITERS[name]
    root = tmp_path_factory.mktemp("readers") / name
    write(root, shared_data)
    return Data(name=name, root=root, takes=takes, faulty=faulty)


def sound_takes(data: Data) -> list[Take]:
    found = data.open().read_catalogue()
    return [take for take in found.takes if take.take_uid not in found.faults]


def read_runs(data: Data, take: Take) -> list[ImuSamples]:
    reader = data.open()
    return list(reader.read_imu(take, reader.read_clock(take)).runs)


def paths_of(take: Take) -> list[str]:
    streams = [stream for stream in (take.video, take.imu) if stream is not None]
    return [path for s in streams for path in (s.path, *s.later_paths)] + list(take.clock_paths)


class TestEveryReader:
    def test_takes_are_sorted_and_unique(self, data: Data) -> None:
        found = data.open().read_catalogue()
        uids = [take.take_uid for take in found.takes]
        assert len(uids) == data.takes
        assert uids == sorted(set(uids))
        assert all(take.take_name for take in found.takes)
        assert {take.dataset for take in found.takes} == {data.name} == {data.open().name}

    def test_takes_with_a_fault_stay_in_the_catalogue(self, data: Data) -> None:
        found = data.open().read_catalogue()
        assert len(found.faults) == data.faulty
        assert set(found.faults) <= {take.take_uid for take in found.takes}
        for fault in found.faults.values():
            assert isinstance(fault, TakeError)
            assert fault.code.endswith("_missing")
            assert str(data.root) not in fault.detail

    def test_participants_carry_their_dataset(self, data: Data) -> None:
        for take in data.open().read_catalogue().takes:
            assert take.participant is None or (
                take.participant.startswith(f"{data.name}:")
                and len(take.participant) > len(data.name) + 1
            )

    def test_narrations_are_sorted_raw_and_of_known_takes(self, data: Data) -> None:
        found = data.open().read_catalogue()
        assert set(found.narrations) <= {take.take_uid for take in found.takes}
        assert (sum(map(len, found.narrations.values())) > 0) == (data.name != "realworld")
        for narrations in found.narrations.values():
            order = [(n.narration_ns, n.pass_uid) for n in narrations]
            assert order == sorted(order)
            assert {n.text for n in narrations} == {""}
            assert all(n.text_source and n.pass_uid for n in narrations)

    def test_ignored_and_official_split_use_known_words(self, data: Data) -> None:
        found = data.open().read_catalogue()
        assert all(count > 0 for count in found.ignored.values())
        assert set(found.official_split) <= {take.take_uid for take in found.takes}
        assert set(found.official_split.values()) <= set(SPLITS)

    def test_paths_are_relative_and_lie_inside(self, data: Data) -> None:
        for take in sound_takes(data):
            assert paths_of(take)
            for path in paths_of(take):
                assert "\\" not in path
                assert not PurePosixPath(path).is_absolute()
                assert ".." not in PurePosixPath(path).parts
                assert (data.root / path).is_file()

    def test_reading_twice_gives_the_same(self, data: Data) -> None:
        catalogues = [data.open().read_catalogue() for _ in range(2)]
        # Exceptions are equal to none but themselves.
        faults = [{uid: str(e) for uid, e in found.faults.items()} for found in catalogues]
        assert faults[0] == faults[1]
        assert replace(catalogues[0], faults={}) == replace(catalogues[1], faults={})
        take = sound_takes(data)[0]
        clocks = [data.open().read_clock(take) for _ in range(2)]
        assert clocks[0].span == clocks[1].span
        np.testing.assert_array_equal(clocks[0].device_ns, clocks[1].device_ns)
        first, second = read_runs(data, take), read_runs(data, take)
        assert len(first) == len(second) > 0
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.accel.t_ns, other.accel.t_ns)
            np.testing.assert_array_equal(one.gyro.values, other.gyro.values)

    def test_a_moved_dataset_reads_the_same(self, data: Data, tmp_path: Path) -> None:
        moved = tmp_path / "elsewhere"
        shutil.copytree(data.root, moved)
        assert data.open(moved).read_catalogue().takes == data.open().read_catalogue().takes

    def test_clocks_start_at_zero_or_later_and_span_something(self, data: Data) -> None:
        for take in sound_takes(data):
            clock = data.open().read_clock(take)
            assert clock.span.start_ns >= 0
            assert clock.span.duration_ns > 5 * NS_PER_S
            assert clock.uncertainty_ns >= 0
            back = clock.to_take_ns(clock.device_ns)
            assert np.abs(back - clock.take_ns).max() <= 1

    def test_runs_are_in_order_and_bounded(self, data: Data) -> None:
        for take in sound_takes(data):
            runs = read_runs(data, take)
            for name in ("accel", "gyro"):
                t_ns: npt.NDArray[np.int64] = np.concatenate(
                    [getattr(run, name).t_ns for run in runs]
                )
                assert len(t_ns) > 100
                assert np.diff(t_ns).min() > 0
            for run in runs:
                # Two minutes of the fastest sensor.
                assert len(run.accel) <= 120_000
            invalid: list[npt.NDArray[np.int64]] = [run.invalid_ns for run in runs]
            assert all((np.diff(stamps) >= 0).all() for stamps in invalid)
            ends = [(int(i[0]), int(i[-1])) for i in invalid if len(i)]
            assert all(one[1] <= other[0] for one, other in pairwise(ends))

    def test_samples_cover_the_take(self, data: Data) -> None:
        for take in sound_takes(data):
            span = data.open().read_clock(take).span
            for name in ("accel", "gyro"):
                t_ns = np.concatenate([getattr(run, name).t_ns for run in read_runs(data, take)])
                assert t_ns[0] <= span.start_ns + NS_PER_S // 10
                assert t_ns[-1] >= span.end_ns - NS_PER_S // 10

    def test_units_are_si(self, data: Data) -> None:
        for take in sound_takes(data):
            runs = read_runs(data, take)
            accel = np.concatenate([run.accel.values for run in runs])
            gyro = np.concatenate([run.gyro.values for run in runs])
            assert np.median(np.linalg.norm(accel, axis=1)) == pytest.approx(9.8, rel=0.15)
            # Nobody turns the head by more than some rad/s; deg/s would be 57 times that.
            assert 0.01 < np.median(np.linalg.norm(gyro, axis=1)) < 5

    def test_recordings_say_frame_and_stream(self, data: Data) -> None:
        reader = data.open()
        for take in sound_takes(data):
            recording = reader.read_imu(take, reader.read_clock(take))
            assert recording.frame in ("device", "sensor")
            assert recording.stream
            assert all(isinstance(v, str | int | float) for v in recording.info.values())

    def test_take_without_its_imu_file_is_its_own_fault(self, data: Data, tmp_path: Path) -> None:
        moved = tmp_path / "spoiled"
        shutil.copytree(data.root, moved)
        reader = data.open(moved)
        take = sound_takes(data)[0]
        assert take.imu is not None
        clock = reader.read_clock(take)
        (moved / take.imu.path).unlink()
        with pytest.raises(TakeError):
            list(reader.read_imu(take, clock).runs)

    @pytest.mark.parametrize("kind", ["nowhere", "a_file", "empty"])
    def test_roots_that_are_none_are_wrong_usage(
        self, data: Data, tmp_path: Path, kind: str
    ) -> None:
        root = tmp_path / kind
        if kind == "a_file":
            root.write_text("")
        elif kind == "empty":
            root.mkdir()
        with pytest.raises(UsageError, match=str(root)):
            data.open(root).read_catalogue()


def test_every_dataset_is_held_to_the_contract() -> None:
    annotation: Any = DatasetConfig.model_fields["name"].annotation
    assert set(WRITERS) == set(annotation.__args__)
