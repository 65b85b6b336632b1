"""What becomes of a take: counted once, described without this machine, read anew each run."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines import prepare
from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig, load_config
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.prepare import TakeOutcome, prepare_batch, state_path
from pipelines.state.records import read_records
from pipelines.state.stopping import StoppedError, request_stop
from schemas.errors import StorageError, TakeError, UsageError
from schemas.narration import Narration
from schemas.take import ImuStream, Take
from schemas.time import NS_PER_S, Interval
from tests.factories import SPEC, make_narration, make_take

UID = "take-a"


class Encoder:
    """Has a spec and is never called."""

    spec = SPEC

    def encode_frames(self, frames: Any) -> Any:
        raise AssertionError(frames)

    def encode_texts(self, texts: Any) -> Any:
        raise AssertionError(texts)

    def count_tokens(self, texts: Any) -> Any:
        raise AssertionError(texts)


@dataclass
class Reader:
    """A dataset of one take of 20 s."""

    take: Take
    narrations: tuple[Narration, ...] = ()
    fault: Exception | None = None
    """Raised for the clock."""
    catalogue_fault: TakeError | None = None
    name: str = "egoexo4d"
    catalogues: list[int] = field(default_factory=list)

    def read_catalogue(self) -> Catalogue:
        self.catalogues.append(1)
        faults = {UID: self.catalogue_fault} if self.catalogue_fault else {}
        return Catalogue(takes=(self.take,), narrations={UID: self.narrations}, faults=faults)

    def read_clock(self, take: Take) -> TakeClock:
        if self.fault is not None:
            raise self.fault
        return TakeClock.identity(Interval(0, 20 * NS_PER_S))

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        raise AssertionError(take)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    made = Reader(
        take=make_take(UID, imu=ImuStream(path="gone.vrs", label="imu-right"), video=None),
        narrations=(make_narration(4.0), make_narration(9.0), make_narration(15.0)),
    )
    monkeypatch.setattr(prepare, "open_reader", lambda *_args, **_kwargs: made)
    monkeypatch.setattr(prepare, "open_encoder", lambda _config: Encoder())
    return made


def config_for(tmp_path: Path, **overrides: Any) -> PrepConfig:
    base = {
        "dataset.name": "egoexo4d",
        "dataset.root": str(tmp_path / "ds"),
        "store.uri": str(tmp_path / "store"),
    }
    (tmp_path / "ds").mkdir(exist_ok=True)
    return load_config(None, overrides={**base, **overrides})


def run(config: PrepConfig, *, name: str = "run-1") -> TakeOutcome:
    (outcome,) = prepare_batch(config, [UID], encoder_spec=SPEC, run=f"{config.store.uri} {name}")
    return outcome


@pytest.mark.parametrize(
    ("policy", "fault", "planned"),
    [
        pytest.param("narration", None, 3, id="narrations"),
        pytest.param("narration", TakeError("bad_clock", "no clock"), 3, id="without_clock"),
        pytest.param("stride", None, 4, id="strides_of_five_in_twenty_seconds"),
        pytest.param("stride", TakeError("bad_clock", "no clock"), 0, id="no_computable_plan"),
    ],
)
def test_a_quarantined_take_counts_what_it_planned(
    policy: str, fault: TakeError | None, planned: int, reader: Reader, tmp_path: Path
) -> None:
    reader.fault = fault
    outcome = run(config_for(tmp_path, **{"segments.policy": policy}))
    assert outcome.status == "quarantined"
    assert outcome.reason == ("file_missing" if fault is None else "bad_clock")
    assert outcome.segments == planned


def test_a_take_ruled_out_by_metadata_plans_no_stride(reader: Reader, tmp_path: Path) -> None:
    reader.catalogue_fault = TakeError("vrs_missing", "file must exist")
    assert run(config_for(tmp_path, **{"segments.policy": "stride"})).segments == 0
    assert run(config_for(tmp_path), name="other").segments == 3


@pytest.mark.parametrize("root", ["ds", "./ds", "{tmp}/ds", "{tmp}/link"])
def test_the_record_is_the_same_wherever_the_dataset_lies(
    root: str, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "ds")
    config = config_for(tmp_path, **{"dataset.root": root.format(tmp=tmp_path)})
    resolved, given = config.dataset.root.resolve(), config.dataset.root
    reader.fault = TakeError("bad", f"see {resolved}/takes/my-ds/a.vrs and [{given}/b.mp4]")
    detail = run(config).detail
    assert detail == f"see takes/my-ds/a.vrs and [b.mp4] [take={reader.take.take_name}]"


def test_a_record_can_be_written_whatever_name_it_tells(reader: Reader, tmp_path: Path) -> None:
    reader.fault = TakeError("bad", "no file at half \ud800 a sign")
    assert run(config_for(tmp_path)).detail.startswith("no file at half \\ud800 a sign [take=")


def test_an_error_nobody_foresaw_is_told_without_path_or_address(
    reader: Reader, tmp_path: Path
) -> None:
    reader.fault = OSError(95, "Operation not supported", str(tmp_path / ".x.1a2b.tmp"))
    outcome = run(config_for(tmp_path))
    assert outcome.reason == "unexpected_error"
    assert outcome.detail.startswith("OSError: Operation not supported [test_prepare.py:")
    reader.fault = RuntimeError(f"bad {object()!r}")
    assert run(config_for(tmp_path)).detail.startswith("RuntimeError: bad <object object> [")


def test_wrong_usage_ends_the_run(reader: Reader, tmp_path: Path) -> None:
    reader.fault = UsageError("imu.cutoff_hz must be lower")
    with pytest.raises(UsageError, match="cutoff_hz"):
        run(config_for(tmp_path))


def test_the_catalogue_is_read_once_a_run_and_anew_in_the_next(
    reader: Reader, tmp_path: Path
) -> None:
    config = config_for(tmp_path)
    assert [run(config).segments, run(config).segments] == [3, 3]
    assert len(reader.catalogues) == 1
    reader.narrations = reader.narrations[:1]
    assert run(config, name="run-2").segments == 1
    assert len(reader.catalogues) == 2


def test_another_encoder_than_the_drivers_is_refused(reader: Reader, tmp_path: Path) -> None:
    other = SPEC.model_copy(update={"weights_sha256": "1" * 64})
    batch = prepare_batch(config_for(tmp_path), [UID], encoder_spec=other, run="r")
    with pytest.raises(UsageError, match="same for the driver and its workers"):
        next(batch)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"precision": "bfloat16"}, "bfloat16 on cpu and float32 on cpu"),
        ({"precision": "bfloat16", "device_kind": "cuda"}, "bfloat16 on cuda and float32 on cpu"),
    ],
)
def test_unlike_machines_are_told_the_way_out(
    change: dict[str, str], said: str, reader: Reader, tmp_path: Path
) -> None:
    other = SPEC.model_copy(update=change)
    batch = prepare_batch(config_for(tmp_path), [UID], encoder_spec=other, run="r")
    with pytest.raises(
        UsageError, match=rf"driver and its workers, got {said}: .* encoder\.precision \(cpu and"
    ):
        next(batch)


@pytest.fixture
def torch_threads() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_one_torch_thread_whatever_the_machine(
    reader: Reader, tmp_path: Path, torch_threads: int
) -> None:
    torch.set_num_threads(torch_threads + 3)
    for workers in (1, 7):
        run(config_for(tmp_path, **{"execution.workers": workers}))
        assert torch.get_num_threads() == 1


def test_a_record_stands_while_the_take_is_bad(reader: Reader, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    record = state_path(config.parts_root, UID)
    run(config)
    told = TakeOutcome.model_validate_json(record.read_bytes())
    assert (told.reason, told.work) == ("file_missing", {})
    reader.narrations = ()
    assert run(config, name="run-2").status == "empty"
    assert not record.exists()


def test_work_on_a_take_that_went_wrong_is_counted(reader: Reader, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    (tmp_path / "ds" / "gone.vrs").write_bytes(bytes(100))
    outcome = run(config)
    assert outcome.reason == "unexpected_error"
    assert (outcome.work["fingerprint"].items, outcome.work["fingerprint"].bytes_in) == (1, 100)
    assert outcome.work["imu"].seconds > 0


def test_a_take_whose_plan_is_all_drops_is_ready_and_has_no_parts(
    reader: Reader, tmp_path: Path
) -> None:
    reader.narrations = (make_narration(99.0),)
    outcome = run(config_for(tmp_path))
    assert (outcome.status, outcome.segments, outcome.keys) == ("ready", 1, {})
    assert np.array_equal([outcome.start_ns, outcome.end_ns], [0, 20 * NS_PER_S])


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(prepare, "pause", lambda seconds, *, run: waited.append(seconds))
    return waited


def test_a_share_that_does_not_answer_is_asked_again(
    reader: Reader, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [OSError(errno.ESTALE, "Stale file handle"), TimeoutError("late")]
    read_clock = reader.read_clock

    def flaky(take: Take) -> TakeClock:
        if answers:
            raise answers.pop(0)
        return read_clock(take)

    monkeypatch.setattr(reader, "read_clock", flaky)
    reader.narrations = (make_narration(99.0),)
    assert run(config_for(tmp_path)).status == "ready"
    assert len(waits) == 2


def test_a_share_that_never_answers_costs_its_take_alone(
    reader: Reader, tmp_path: Path, waits: list[float]
) -> None:
    reader.fault = OSError(errno.EIO, "Input/output error", str(tmp_path / "ds" / "gone.vrs"))
    outcome = run(config_for(tmp_path))
    assert (outcome.reason, outcome.segments) == ("source_unreadable", 3)
    assert outcome.detail.startswith("files must be readable, got OSError: Input/output error; ")
    assert str(tmp_path) not in outcome.detail
    assert len(waits) >= 2


def test_a_catalogue_that_could_not_read_a_takes_file_tells_it_the_same_way(
    reader: Reader, tmp_path: Path, waits: list[float]
) -> None:
    reader.catalogue_fault = TakeError("imu_unreadable", "broken")
    reader.catalogue_fault.__cause__ = OSError(errno.EIO, "Input/output error")
    assert run(config_for(tmp_path)).reason == "source_unreadable"
    assert waits == []


def test_no_room_ends_the_run_and_quarantines_nothing(reader: Reader, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    reader.fault = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError, match=r"store/parts must have room: .* then run again"):
        run(config)
    assert not (tmp_path / "store").exists()


def test_a_run_that_was_told_to_stop_prepares_nothing_more(reader: Reader, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    request_stop(f"{config.store.uri} run-1")
    with pytest.raises(StoppedError, match="told to stop"):
        run(config)
    assert run(config, name="run-2").status == "quarantined"


def test_each_outcome_is_on_record_with_its_run(reader: Reader, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    run(config)
    record = read_records(config, [UID])[UID]
    assert record.run == f"{config.store.uri} run-1"
    assert (record.outcome.reason, record.outcome.work) == ("file_missing", {})
