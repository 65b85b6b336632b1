"""SIGTERM and Ctrl-C end a run with one sentence, and nothing is left that has to be cleaned up."""

import os
import signal
from pathlib import Path

import pytest

from flows.prepare import prepare
from pipelines.state.run_state import read_run_state
from tests.integration.conftest import make_config
from tests.integration.kills import PREP, family, leftovers, started, wait_until, wait_until_gone

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("executor", "number", "code"),
    [
        pytest.param("inline", signal.SIGINT, 130, id="inline_ctrl_c"),
        pytest.param("threads", signal.SIGTERM, 143, id="threads_sigterm"),
        pytest.param("inline", signal.SIGTERM, 143, id="inline_sigterm", marks=pytest.mark.long),
        pytest.param("threads", signal.SIGINT, 130, id="threads_ctrl_c", marks=pytest.mark.long),
        pytest.param("dask", signal.SIGTERM, 143, id="dask_sigterm", marks=pytest.mark.long),
        pytest.param("dask", signal.SIGINT, 130, id="dask_ctrl_c", marks=pytest.mark.long),
    ],
)
def test_a_stopped_run_says_how_far_it_came(
    executor: str,
    number: signal.Signals,
    code: int,
    small_dataset: Path,
    tiny_encoder: Path,
    tmp_path: Path,
) -> None:
    store, folder = tmp_path / "store", tmp_path / "run"
    words = [
        *PREP, "run", "--dataset", "egoexo4d", "--root", str(small_dataset),
        "--encoder", str(tiny_encoder), "--store", str(store), "--executor", executor,
        "--workers", "2", "--set", "execution.batch_takes=1", "--json",
        "--set", "splits.shares=[0.5, 0.0, 0.5]", "--set", "encoder.precision=float32",
    ]  # fmt: skip
    with started(words, folder=folder) as process:
        wait_until(
            lambda: bool(list(store.glob("parts/text/*/*.arrow"))) or process.poll() is not None
        )
        members = family(process)
        assert members, (folder / "err.txt").read_text()
        # A terminal sends Ctrl-C to the program and all of its session, in which Prefect's server
        # is not: it is still told how the run ended.
        session = [member for member in members if os.getsid(member.pid) == process.pid]
        for member in session if number == signal.SIGINT else members[:1]:
            member.send_signal(number)
        assert process.wait(timeout=60) == code
        assert wait_until_gone(members, timeout_s=10) == []
    assert (folder / "out.txt").read_bytes() == b""
    said = (folder / "err.txt").read_text().splitlines()
    assert said[-1].startswith("primus-prep: stopped, ")
    assert said[-1].endswith(" of 8 takes done, run again to go on")
    assert not [line for line in said if "Traceback" in line]
    assert leftovers(store) == []
    assert not list(store.glob("versions/*"))
    config = make_config(small_dataset, encoder=tiny_encoder, store=store)
    state = read_run_state(config)
    assert state is not None
    assert state.ended == "stopped"
    assert prepare(config).reused_takes >= 1
