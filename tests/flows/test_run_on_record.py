"""However a run ends, its record says so, and a full disk hides no error of the run's own."""

from pathlib import Path

import pytest

from flows.run_on_record import RunOnRecord
from flows.stopping import RunStoppedError
from pipelines.state.run_state import read_run_state
from schemas.errors import StorageError
from tests.pipelines.state.runs import make_config


def test_a_run_is_on_record_from_its_start_to_its_end(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    with RunOnRecord(config, run="r1", takes=7, workers=3) as record:
        state = read_run_state(config)
        assert state is not None
        assert (state.run, state.takes, state.workers, state.ended) == ("r1", 7, 3, "")
        record.published("0123456789abcdef")
    state = read_run_state(config)
    assert state is not None
    assert (state.ended, state.version) == ("published", "0123456789abcdef")


@pytest.mark.parametrize(
    ("error", "ended"),
    [(RunStoppedError("stopped, 1 of 7", exit_code=143), "stopped"), (ValueError("bug"), "failed")],
)
def test_how_it_ended_is_told(tmp_path: Path, error: Exception, ended: str) -> None:
    config = make_config(tmp_path)
    with (
        pytest.raises(type(error), match=str(error)),
        RunOnRecord(config, run="r1", takes=7, workers=3),
    ):
        raise error
    state = read_run_state(config)
    assert state is not None
    assert (state.ended, state.said) == (ended, str(error))


def test_a_record_that_cannot_be_written_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise StorageError("must have room")

    def work() -> None:
        monkeypatch.setattr("flows.run_on_record.write_run_state", full)
        raise ValueError("bug")

    config = make_config(tmp_path)
    with pytest.raises(ValueError, match="bug"), RunOnRecord(config, run="r", takes=1, workers=1):
        work()
    with (
        pytest.raises(StorageError, match="must have room"),
        RunOnRecord(config, run="r", takes=1, workers=1),
    ):
        pytest.fail("began without a record")
