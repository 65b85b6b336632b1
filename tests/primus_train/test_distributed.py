"""Several processes: started for real, as torchrun or a scheduler starts them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from primus_train.checkpoint import read_checkpoint
from primus_train.cli import main
from primus_train.distributed import SOLO, TIMEOUT_VARIABLE, Ranks, join_ranks, rank_here
from schemas.errors import StorageError, UsageError
from tests.primus_train.rank_steps import check_equal, take_steps

ROOT = Path(__file__).parents[2]
STEPS = Path(__file__).with_name("rank_steps.py")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
FIT = (sys.executable, "-m", "primus_train.cli", "fit", "--device", "cpu", "--json")
SMALL = ("objective.bank_size=16", "data.batch_size=6", "log_every_steps=1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


@contextmanager
def ranks_of(
    command: Sequence[str | Path], *, size: int, folder: Path
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Yield the processes; what they say lies in ``folder/<rank>.out`` and ``.err``."""
    folder.mkdir(parents=True, exist_ok=True)
    port = str(free_port())
    processes = []
    try:
        for rank in range(size):
            with (
                (folder / f"{rank}.out").open("wb") as out,
                (folder / f"{rank}.err").open("wb") as err,
            ):
                numbers = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
                where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
                processes.append(
                    subprocess.Popen(
                        [str(word) for word in command],
                        stdout=out,
                        stderr=err,
                        env=environment(**numbers, **where, **{TIMEOUT_VARIABLE: "60"}),
                    )
                )
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=30)


def fit_command(store: Path, out: Path, *more: str, settings: Sequence[str] = ()) -> list[str]:
    options = [x for setting in (*SMALL, *settings) for x in ("--set", setting)]
    return [*FIT, "--store", str(store), "--out", str(out), *options, *more]


def wait_for_lines(path: Path, *, count: int) -> None:
    end = time.monotonic() + 60
    while not path.is_file() or path.read_text().count("\n") < count:
        assert time.monotonic() < end, f"{path} has fewer than {count} lines"
        time.sleep(0.01)


def same_file(a: Path, b: Path) -> bool:
    one, two = read_checkpoint(a), read_checkpoint(b)
    equal = all(torch.equal(value, two.tensors[name]) for name, value in one.tensors.items())
    return equal and set(one.tensors) == set(two.tensors) and one.meta == two.meta


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    settings = ["", "objective.terms=[ss,nn] optim.micro_batches=2", "objective.kind=multitask"]
    command = [sys.executable, STEPS, tmp_path, "8", *settings]
    with ranks_of(command, size=2, folder=tmp_path) as processes:
        codes = [process.wait(timeout=120) for process in processes]
    assert codes == [0, 0], (tmp_path / "1.err").read_text()
    for number, overrides in enumerate(settings):
        check_equal(
            torch.load(tmp_path / f"{number}.pt", weights_only=True),
            take_steps([x for x in overrides.split() if "micro" not in x], rows=8),
        )


@pytest.mark.long
def test_four_processes_with_two_micro_batches_take_the_steps_of_one(tmp_path: Path) -> None:
    settings = (
        "",
        "objective.terms=[ss,nn]",
        "objective.direction=symmetric",
        "objective.masked_neighbours=by_imu",
        "objective.kind=multitask",
        "objective.kind=supervised",
        "optim.clip_norm=0.1 optim.weight_decay=0.1 optim.optimizer=adamw",
    )
    asked = [f"{overrides} optim.micro_batches=2" for overrides in settings]
    subprocess.run(
        [*TORCHRUN, "4", STEPS, tmp_path, "16", *asked], check=True, timeout=300, env=environment()
    )
    for number, overrides in enumerate(settings):
        check_equal(
            torch.load(tmp_path / f"{number}.pt", weights_only=True),
            take_steps(overrides.split(), rows=16),
        )


@pytest.mark.slow
def test_one_rank_told_to_stop_stops_all_and_they_go_on_together(
    toy_store: Path, tmp_path: Path
) -> None:
    out, said = tmp_path / "run", tmp_path / "said"
    epochs = ("epochs=8",)
    with ranks_of(fit_command(toy_store, out, settings=epochs), size=2, folder=said) as processes:
        wait_for_lines(out / "metrics.jsonl", count=2)
        processes[1].send_signal(signal.SIGTERM)
        assert [p.wait(timeout=60) for p in processes] == [143, 143]
    last = (said / "0.err").read_text().splitlines()[-1]
    step = read_checkpoint(out / "last.pt").meta["step"]
    assert 2 <= step < 32
    assert f"primus-train: stopped by SIGTERM after step {step} of 32, which last.pt holds" in last
    assert "give --resume to go on" in last
    record = json.loads((out / "run.json").read_text())
    assert (record["finished"], record["steps"], record["ranks"]) == (False, step, 2)
    command = fit_command(toy_store, out, "--resume", settings=epochs)
    with ranks_of(command, size=2, folder=said) as processes:
        codes = [p.wait(timeout=60) for p in processes]
    assert codes == [0, 0], (said / "0.err").read_text()
    report = json.loads((said / "0.out").read_text())
    assert (report["finished"], report["steps"], report["ranks"]) == (True, 32, 2)
    # One process speaks and writes.
    assert (said / "1.out").read_bytes() == b""
    lines = [json.loads(x) for x in (out / "metrics.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines if x["kind"] == "train"] == list(range(1, 33))
    assert len(list((out / "tensorboard").iterdir())) == 2


@pytest.mark.long
def test_torchrun_fits_as_one_process_does_and_to_the_bit_after_a_stop(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = ("epochs=2",)
    program = ("-m", *FIT[2:])

    def torchrun(out: Path) -> dict[str, float]:
        command = fit_command(toy_store, out, settings=epochs)[len(FIT) :]
        done = subprocess.run(
            [*TORCHRUN, "2", *program, *command],
            check=True,
            timeout=300,
            env=environment(),
            stdout=subprocess.PIPE,
        )
        found: dict[str, float] = json.loads(done.stdout)
        return found

    two = torchrun(tmp_path / "two")
    torchrun(tmp_path / "again")
    assert same_file(tmp_path / "two" / "last.pt", tmp_path / "again" / "last.pt")
    assert main(fit_command(toy_store, tmp_path / "one", settings=epochs)[3:]) == 0
    one = json.loads(capsys.readouterr().out)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
    assert (two["key"], two["steps"]) == (one["key"], 8)
    stopped, said = tmp_path / "stopped", tmp_path / "said"
    command = fit_command(toy_store, stopped, "--resume", settings=epochs)
    with ranks_of(command, size=2, folder=said) as processes:
        wait_for_lines(stopped / "metrics.jsonl", count=1)
        processes[0].send_signal(signal.SIGTERM)
        assert [p.wait(timeout=60) for p in processes] == [143, 143]
    with ranks_of(command, size=2, folder=said) as processes:
        assert [p.wait(timeout=60) for p in processes] == [0, 0]
    for name in ("last.pt", "best.pt"):
        assert same_file(stopped / name, tmp_path / "two" / name)


@pytest.mark.long
def test_a_dead_rank_ends_the_others_with_a_sentence(toy_store: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "run", tmp_path / "said"
    command = fit_command(toy_store, out, settings=("epochs=200",))
    with ranks_of(command, size=2, folder=said) as processes:
        wait_for_lines(out / "metrics.jsonl", count=2)
        processes[1].kill()
        assert processes[0].wait(timeout=90) == 1
    last = (said / "0.err").read_text().splitlines()[-1]
    assert "rank 0 of 2 lost another" in last
    assert "go on with --resume" in last


def test_alone_nothing_is_asked_of_anybody() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(SOLO.gather(x), x[None])
    SOLO.average([x])
    assert torch.equal(x, torch.arange(6.0).reshape(2, 3))
    assert SOLO.largest(7) == 7
    assert SOLO.same("anything")
    assert SOLO.told_by_first({"a": None}) == {"a": None}
    assert SOLO.one_machine_first(lambda first: first) is True
    assert SOLO.slice_of(5) == slice(0, 5)


def test_slices_are_disjoint_and_in_order() -> None:
    rows = torch.arange(12)
    got = [rows[Ranks(rank=r, size=3).slice_of(12)] for r in range(3)]
    assert torch.equal(torch.cat(got), rows)
    assert {len(x) for x in got} == {4}


@pytest.mark.parametrize("size", [None, "1"])
def test_without_others_a_process_is_alone(
    monkeypatch: pytest.MonkeyPatch, size: str | None
) -> None:
    if size is None:
        monkeypatch.delenv("WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("WORLD_SIZE", size)
    with join_ranks() as ranks:
        assert ranks == SOLO
    assert rank_here() == 0


def told(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number.*got 'two'"),
        ({"WORLD_SIZE": "2"}, "RANK must be a whole number.*got ''"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "LOCAL_RANK must be a whole number"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", TIMEOUT_VARIABLE: "soon"},
            f"{TIMEOUT_VARIABLE} must be seconds above 0, got 'soon'",
        ),
    ],
)
def test_half_an_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    told(monkeypatch, **variables)
    with pytest.raises(UsageError, match=message), join_ranks():
        pass


def test_ranks_that_never_come_are_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    told(
        monkeypatch,
        WORLD_SIZE="2",
        RANK="0",
        LOCAL_RANK="0",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(free_port()),
    )
    monkeypatch.setenv(TIMEOUT_VARIABLE, "0.5")
    with (
        pytest.raises(StorageError, match=r"must reach each other.*rank 0 of 2 could not"),
        join_ranks(),
    ):
        pass


def test_ranks_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = Ranks(rank=1, size=2)

    def other_rank(parts: list[torch.Tensor], own: torch.Tensor) -> None:
        parts[0].copy_(own + 1)
        parts[1].copy_(own)

    monkeypatch.setattr(torch.distributed, "all_gather", other_rank)
    with pytest.raises(UsageError, match="the step must be the same on all 2 ranks, rank 1 has 5"):
        ranks.agree("the step", "5")


def test_a_lost_rank_is_a_fault_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        raise RuntimeError("Connection closed\nby peer")

    calls: list[Callable[[Ranks], object]] = [
        lambda ranks: ranks.largest(1),
        lambda ranks: ranks.average([torch.ones(2)]),
    ]
    monkeypatch.setattr(torch.distributed, "all_reduce", lost)
    for call in calls:
        with pytest.raises(StorageError, match=r"rank 1 of 2 lost another.*Connection closed by"):
            call(Ranks(rank=1, size=2))
