import hashlib
import importlib.metadata
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primus_train.checkpoint import read_checkpoint
from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.loop import BEST, LAST, FitState, pretrain
from primus_train.runs import RUN, fit, pick_device
from primus_train.stopping import RunStoppedError
from schemas.errors import UsageError


def run(store: Path | str, out: Path, *overrides: str, **options: Any) -> dict[str, Any]:
    small = ("objective.bank_size=16", "epochs=2", "data.batch_size=12")
    config = make_fit_config(overrides=[*small, *overrides])
    return fit(str(store), config=config, out=out, device="cpu", **options)


def test_a_finished_run_of_the_same_key_is_reused(toy_store: Path, tmp_path: Path) -> None:
    first = run(toy_store, tmp_path)
    assert (first["reused"], first["finished"], first["steps"]) == (False, True, 4)
    assert (first["train_rows"], first["val_rows"]) == (24, 12)
    assert first["representation"] == "multimodal"
    assert first["best"]["metric"] == "mrr"
    assert first["loss"] > 0
    written = json.loads((tmp_path / RUN).read_text())
    stamp = (tmp_path / LAST).stat().st_mtime_ns

    def never(_: FitState) -> None:
        pytest.fail("a reused run takes no step")

    again = run(toy_store, tmp_path, on_step=never)
    assert again == {**written, "reused": True}
    assert (tmp_path / LAST).stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("overrides", "mask"), [(("seed=1",), None), (("epochs=3",), None), ((), "half")]
)
def test_another_run_in_the_folder_is_refused_unless_overwritten(
    toy_store: Path, tmp_path: Path, overrides: tuple[str, ...], mask: str | None
) -> None:
    first = run(toy_store, tmp_path)
    with pytest.raises(UsageError, match=r"it holds another: give another --out, or --overwrite"):
        run(toy_store, tmp_path, *overrides, mask=mask)
    second = run(toy_store, tmp_path, *overrides, mask=mask, overwrite=True)
    assert second["key"] != first["key"]
    assert second["reused"] is False
    assert second["store"]["mask"] == mask
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert max(json.loads(line)["step"] for line in lines) == second["steps"]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_a_new_version_under_the_same_tag_is_another_run(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    root = tmp_path / "store"
    one = store_writer(root, seed=0)
    first = run(root, tmp_path / "run")
    two = store_writer(root, seed=1)
    assert first["store"]["version"] == one != two
    with pytest.raises(UsageError, match="it holds another"):
        run(root, tmp_path / "run")
    assert run(f"{root}@{one}", tmp_path / "run")["reused"] is True


def test_an_unfinished_run_asks_for_resume_and_then_goes_on(
    toy_store: Path, tmp_path: Path
) -> None:
    def kill(state: FitState) -> None:
        if state.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(toy_store, tmp_path, on_step=kill)
    with pytest.raises(UsageError, match=r"unfinished run of this config: give --resume"):
        run(toy_store, tmp_path)
    steps: list[int] = []
    done = run(toy_store, tmp_path, resume=True, on_step=lambda s: steps.append(s.step))
    assert steps == [3, 4]  # epoch 1 was saved at step 2
    whole = run(toy_store, tmp_path / "whole")
    assert done["loss"] == whole["loss"]
    assert done["best"] == whole["best"]


def stop_at(step: int) -> Callable[[FitState], None]:
    def kill(state: FitState) -> None:
        if state.step == step:
            raise KeyboardInterrupt

    return kill


def test_a_run_does_not_go_on_under_another_mask_or_on_another_version(
    tmp_path: Path, store_writer: Callable[..., str], mask_writer: Callable[..., None]
) -> None:
    root, out = tmp_path / "store", tmp_path / "run"
    version = store_writer(root)
    mask_writer(root, version, name="m", hidden=lambda i: i % 2 == 1)
    with pytest.raises(KeyboardInterrupt):
        run(root, out, mask="m", on_step=stop_at(3))
    (root / "masks" / version / "m.json").unlink()
    mask_writer(root, version, name="m", hidden=lambda i: i % 3 == 1)
    with pytest.raises(UsageError, match=r"it holds another.*its mask_sha256 is \w{64}, asked for"):
        run(root, out, mask="m", resume=True)
    with pytest.raises(UsageError, match=r"its mask is m, asked for is None"):
        run(root, out, resume=True)
    # Not even where the record was lost and only the checkpoint tells.
    data = open_store(str(root), mask="m")
    config = make_fit_config(overrides=["objective.bank_size=16", "epochs=2", "data.batch_size=12"])
    with pytest.raises(UsageError, match=r"must go on with the mask_sha256 it began with"):
        pretrain(data, config=config, out=out, resume=True)
    store_writer(root, seed=1)
    with pytest.raises(UsageError, match=rf"its version is {version}, asked for is"):
        run(root, out, resume=True)
    with pytest.raises(UsageError, match=r"must go on with the version it began with"):
        pretrain(open_store(str(root)), config=config, out=out, resume=True)


def test_the_record_tells_store_mask_and_code_without_secrets(
    toy_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIMUS_CONTAINER_DIGEST", "sha256:12")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    record = run(toy_store, tmp_path, mask="half")
    version = record["store"]["version"]
    mask = toy_store / "masks" / version / "half.parquet"
    assert record["store"] == {
        "uri": str(toy_store),
        "version": version,
        "mask": "half",
        "mask_sha256": hashlib.sha256(mask.read_bytes()).hexdigest(),
        "mask_spec": {
            "name": "half",
            "keep": 0.5,
            "modalities": ["video", "text"],
            "unit": "segment",
            "seed": 0,
            "exact": False,
        },
    }
    assert record["code"]["container_digest"] == "sha256:12"
    assert record["code"]["packages"]["torch"] == importlib.metadata.version("torch")
    meta = read_checkpoint(tmp_path / BEST).meta
    for name in ("version", "mask", "mask_sha256", "mask_spec"):
        assert meta[name] == record["store"][name], name
    assert meta["run"] == record["key"]
    kept = tmp_path / "store" / "versions" / version / "manifest.json"
    assert kept.read_bytes() == (toy_store / "versions" / version / "manifest.json").read_bytes()
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"hush-hush" not in written


@pytest.mark.slow
def test_hidden_rows_reach_ss_by_their_imu_and_nothing_by_video_or_text(
    tmp_path: Path, store_writer: Callable[..., str], mask_writer: Callable[..., None]
) -> None:
    hidden = list(range(1, 24, 2))  # of 24 train rows

    def other_targets(data: dict[str, Any]) -> None:
        for name in ("video", "text"):
            data[name][hidden] = -data[name][hidden]

    def other_windows(data: dict[str, Any]) -> None:
        data["imu"][hidden] = 2 * data["imu"][hidden][:, ::-1]

    losses: dict[str, float] = {}
    for name, change in (("as is", None), ("targets", other_targets), ("windows", other_windows)):
        root = tmp_path / name
        version = store_writer(root, takes=[f"train-{i}" for i in range(4)], change=change)
        mask_writer(root, version, name="m", hidden=lambda i: i in hidden)
        for mask in ("m", None) if name != "windows" else ("m",):
            out = tmp_path / f"run {name} {mask}"
            losses[f"{name} {mask}"] = run(root, out, "epochs=1", mask=mask)["loss"]
    assert losses["targets m"] == losses["as is m"]
    assert losses["windows m"] != losses["as is m"]
    assert losses["targets None"] != losses["as is None"]
    assert losses["as is m"] != losses["as is None"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_after_its_step_and_costs_no_bit(
    toy_store: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    settings = ("objective.terms=[ss, nn]", "data.batch_size=8", "optim.schedule=linear")

    def ask(state: FitState) -> None:
        if state.step == 2:
            os.kill(os.getpid(), number)

    out = tmp_path / "run"
    said = f"stopped by {number.name} after step 2 of 6, which last.pt holds: give --resume"
    with pytest.raises(RunStoppedError, match=said) as stopped:
        run(toy_store, out, *settings, on_step=ask)
    assert stopped.value.exit_code == code
    record = json.loads((out / RUN).read_text())
    assert (record["finished"], record["steps"]) == (False, 2)
    done = run(toy_store, out, *settings, resume=True)
    whole = run(toy_store, tmp_path / "whole", *settings)
    assert (done["finished"], done["steps"], done["loss"]) == (True, 6, whole["loss"])
    for name in (LAST, BEST):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_signal_at_the_last_step_ends_a_finished_run(toy_store: Path, tmp_path: Path) -> None:
    def ask(state: FitState) -> None:
        if state.step == state.steps:
            os.kill(os.getpid(), signal.SIGTERM)

    record = run(toy_store, tmp_path, "objective.terms=[ss]", on_step=ask)
    assert (record["finished"], record["steps"], record["reused"]) == (True, 4, False)


def test_resume_of_nothing_is_a_fresh_start(toy_store: Path, tmp_path: Path) -> None:
    assert run(toy_store, tmp_path, resume=True)["steps"] == 4


def test_the_control_experiment_is_recorded(toy_store: Path, tmp_path: Path) -> None:
    assert run(toy_store, tmp_path, "data.permute_video=takes")["permute_video"] == "takes"


def test_where_the_arrays_are_is_said_recorded_and_no_reason_to_run_again(
    toy_store: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    first = run(toy_store, tmp_path, "data.load=mapped", on_open=said.append)
    assert first["arrays"] == "mapped"
    assert said == ["0.00 GB of arrays left on disk, memory-mapped, as asked"]
    again = run(toy_store, tmp_path, "data.load=memory", on_open=said.append)
    assert again["reused"]
    assert len(said) == 1  # nothing was opened


def test_devices_have_names() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in {"cpu", "cuda"}
    with pytest.raises(UsageError, match="device must be auto, cpu or cuda, got 'tpu'"):
        pick_device("tpu")


def test_each_process_needs_a_cuda_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[torch.device] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    assert pick_device("cuda") == torch.device("cuda")
    assert pick_device("auto", local_rank=1) == torch.device("cuda", 1)
    assert pick_device("cpu", local_rank=5) == torch.device("cpu")
    assert taken == [torch.device("cuda", 1)]
    with pytest.raises(UsageError, match="a CUDA device of its own, got 2 for process 3"):
        pick_device("auto", local_rank=2)


def test_cuda_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="needs a CUDA build"):
        pick_device("cuda")
