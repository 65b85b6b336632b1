"""Counts of every take, against loops, and what is there already."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.parts.keys import frames_key, read_source
from pipelines.parts.store import PartStore
from pipelines.pricing.estimate import needed_rates
from pipelines.pricing.survey import survey_takes
from pipelines.pricing.what_is_there import find_parts, read_known_sources
from pipelines.segments.policies import plan_segments
from schemas.embedding import frames_part_schema
from schemas.errors import TakeError, UsageError
from schemas.manifest import SourceEntry
from schemas.narration import Narration
from schemas.take import Take
from schemas.time import NS_PER_S, Interval
from tests.factories import SPEC, make_config, make_narration, make_take, publish_small_version

NARRATIONS = (
    make_narration(0.2, "one"),
    make_narration(3.0, "two"),
    make_narration(3.4, "two"),
    make_narration(99.0, "far beyond"),
)


@dataclass
class Reader:
    """Takes of nine seconds."""

    faults: dict[str, Exception] = field(default_factory=dict)
    name: str = "egoexo4d"
    clocks: list[str] = field(default_factory=list)

    def read_catalogue(self) -> Catalogue:
        raise AssertionError

    def read_clock(self, take: Take) -> TakeClock:
        self.clocks.append(take.take_uid)
        if take.take_uid in self.faults:
            raise self.faults[take.take_uid]
        return TakeClock.identity(Interval(0, 9 * NS_PER_S))

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        raise AssertionError(take)


def config_for(tmp_path: Path, **overrides: Any) -> PrepConfig:
    dataset = {"name": "egoexo4d", "root": str(tmp_path / "ds")}
    return make_config(tmp_path / "store", dataset=dataset, **overrides)


def write_files(root: Path, take: Take, *, video: bytes = b"v" * 30, imu: bytes = b"i" * 7) -> None:
    for path, data in ((take.video, video), (take.imu, imu)):
        assert path is not None
        (root / path.path).parent.mkdir(parents=True, exist_ok=True)
        (root / path.path).write_bytes(data)


def make_catalogue(*uids: str, faults: dict[str, TakeError] | None = None) -> Catalogue:
    takes = tuple(make_take(uid) for uid in uids)
    return Catalogue(takes=takes, narrations=dict.fromkeys(uids, NARRATIONS), faults=faults or {})


@pytest.mark.parametrize("coverage", ["all", "needed"])
def test_counts_of_a_take(tmp_path: Path, coverage: str) -> None:
    config = config_for(tmp_path, video={"coverage": coverage})
    catalogue = make_catalogue("a")
    write_files(config.dataset.root, catalogue.takes[0])
    (count,) = survey_takes(config, reader=Reader(), catalogue=catalogue, spec=SPEC)
    assert (count.planned, count.rows) == (4, 3)
    assert dict(count.drops) == {"narration_outside_take": 1}
    assert count.span_ns == 9 * NS_PER_S
    assert count.samples == 90
    assert count.sentences == 3
    assert (count.files, count.source_bytes, count.fingerprint_bytes) == (2, 37, 37)
    assert (count.video_bytes, count.imu_bytes) == (30, 7)
    assert count.kinds == ("imu", "frames", "text")
    assert count.missing == count.kinds
    assert not count.done
    plan = plan_segments(
        catalogue.takes[0],
        narrations=NARRATIONS,
        span=Interval(0, 9 * NS_PER_S),
        clock_uncertainty_ns=0,
        config=config.segments,
    )
    used = {
        t_ns
        for start_ns, end_ns in plan.rows.select("start_ns", "end_ns").iter_rows()
        for t_ns in range(0, 9 * NS_PER_S, config.video.step_ns)
        if start_ns <= t_ns < end_ns
    }
    assert 0 < len(used) < 90
    assert count.frames == (90 if coverage == "all" else len(used))


def test_faults_are_named_and_counted_as_a_run_would(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    catalogue = make_catalogue(*"abcde", faults={"a": TakeError("vrs_missing", "no file")})
    for take in catalogue.takes[3:]:
        write_files(config.dataset.root, take)
    reader = Reader(faults={"b": TakeError("bad_clock", "no clock"), "d": RuntimeError("odd")})
    seen: list[int] = []
    counts = survey_takes(
        config, reader=reader, catalogue=catalogue, spec=SPEC, progress=seen.append
    )
    assert [c.take_uid for c in counts] == list("abcde")
    assert [c.reason for c in counts] == [
        "vrs_missing", "bad_clock", "file_missing", "unexpected_error", "",
    ]  # fmt: skip
    assert counts[0].detail == "no file [take=name of a]"
    assert counts[3].detail.startswith("RuntimeError: odd [test_survey.py:")
    assert {c.planned for c in counts} == {4}
    assert [c.rows for c in counts] == [0, 0, 0, 0, 3]
    assert sorted(reader.clocks) == list("bcde")
    assert seen == [1, 2, 3, 4, 5]


def test_wrong_usage_ends_the_survey(tmp_path: Path) -> None:
    reader = Reader(faults={"a": UsageError("filter cannot work")})
    with pytest.raises(UsageError, match="filter cannot work"):
        survey_takes(config_for(tmp_path), reader=reader, catalogue=make_catalogue("a"), spec=SPEC)


def test_a_take_without_segments_reads_no_file(tmp_path: Path) -> None:
    config = config_for(tmp_path, segments={"length_ms": 20_000})
    (count,) = survey_takes(config, reader=Reader(), catalogue=make_catalogue("a"), spec=SPEC)
    assert (count.reason, count.rows, count.planned, count.files) == ("", 0, 4, 0)
    assert count.kinds == ()


@pytest.mark.parametrize("any_part", [True, False])
@pytest.mark.parametrize(("enabled", "audited"), [(True, False), (False, None)])
def test_lags_count_only_where_they_are_measured(
    tmp_path: Path, enabled: bool, audited: bool | None, any_part: bool
) -> None:
    config = config_for(tmp_path, audit={"enabled": enabled})
    catalogue = make_catalogue("a")
    write_files(config.dataset.root, catalogue.takes[0])
    if any_part:
        (config.parts_root / "imu").mkdir(parents=True)
    (count,) = survey_takes(config, reader=Reader(), catalogue=catalogue, spec=SPEC)
    assert count.audited is audited
    assert ("audit" in needed_rates([count])) == enabled


def test_without_encoder_the_imu_alone_counts(tmp_path: Path) -> None:
    config = config_for(
        tmp_path,
        encoder={"name": "none"},
        segments={"require": ["imu"], "length_ms": 1000, "step_ms": 100},
    )
    catalogue = make_catalogue("a")
    write_files(config.dataset.root, catalogue.takes[0])
    (count,) = survey_takes(config, reader=Reader(), catalogue=catalogue, spec=None)
    assert count.kinds == ("imu",)
    assert (count.variant, count.frames, count.sentences, count.samples) == ("", 0, 0, 90)


def frames_key_of(config: PrepConfig, take: Take) -> str:
    assert take.video is not None
    source = read_source(config.dataset.root, take.take_uid, take.video.path)
    return frames_key([source], config=config, take=take, encoder=SPEC)


def test_parts_that_are_there_are_found_until_a_file_changes(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    catalogue = make_catalogue("a")
    take = catalogue.takes[0]
    write_files(config.dataset.root, take)
    parts = PartStore(config.parts_root)
    written = parts.write(
        "frames", frames_key_of(config, take), schema=frames_part_schema(8), batches=[]
    )
    (count,) = survey_takes(config, reader=Reader(), catalogue=catalogue, spec=SPEC)
    assert dict(count.there) == {"frames": written.stat().st_size}
    assert count.missing == ("imu", "text")
    write_files(config.dataset.root, take, video=b"w" * 30)
    (changed,) = survey_takes(config, reader=Reader(), catalogue=catalogue, spec=SPEC)
    assert dict(changed.there) == {}
    # Trusted by its size, the change goes unseen, which is what was asked for.
    old = SourceEntry(
        take_uid="a", path="a/video.mp4", size=30,
        fingerprint=read_source_of(b"v" * 30, tmp_path),
    )  # fmt: skip
    known = {("a", "a/video.mp4"): old}
    (trusted,) = survey_takes(config, reader=Reader(), catalogue=catalogue, spec=SPEC, known=known)
    assert set(trusted.there) == {"frames"}
    longer = {("a", "a/video.mp4"): old.model_copy(update={"size": 31})}
    (read,) = survey_takes(config, reader=Reader(), catalogue=catalogue, spec=SPEC, known=longer)
    assert dict(read.there) == {}


def read_source_of(data: bytes, tmp_path: Path) -> str:
    (tmp_path / "file").write_bytes(data)
    return read_source(tmp_path, "a", "file").fingerprint


def test_no_file_is_read_where_there_is_no_part(tmp_path: Path) -> None:
    config = config_for(tmp_path)

    def refuse(path: str) -> SourceEntry:
        raise AssertionError(path)

    take = make_take("a")
    plan = plan_segments(
        take, narrations=NARRATIONS, span=Interval(0, 9 * NS_PER_S), clock_uncertainty_ns=0,
        config=config.segments,
    )  # fmt: skip
    narrations: tuple[Narration, ...] = NARRATIONS
    found = find_parts(
        take, plan=plan, narrations=narrations, config=config, spec=SPEC, parts=None, source=refuse
    )
    assert found.kinds == ("imu", "frames", "text")
    assert not found.audited
    silent = find_parts(
        replace(take, imu=None), plan=plan, narrations=(), config=config, spec=SPEC, parts=None,
        source=refuse,
    )  # fmt: skip
    assert silent.kinds == ("frames",)


def test_sources_on_record_come_from_the_versions(tmp_path: Path) -> None:
    assert read_known_sources(tmp_path / "nothing") == {}
    published = publish_small_version(tmp_path / "store", takes=2)
    known = read_known_sources(tmp_path / "store")
    assert list(known) == [("take-000", "take-000/video.mp4"), ("take-001", "take-001/video.mp4")]
    assert known["take-000", "take-000/video.mp4"].size == 10
    manifest = tmp_path / "store" / "versions" / published.version / "manifest.json"
    manifest.write_bytes(b"{}")
    assert read_known_sources(tmp_path / "store") == {}
