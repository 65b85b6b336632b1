import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primus_train.config import make_fit_config
from primus_train.loop import LAST, FitState
from primus_train.runs import RUN, fit, pick_device
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


def test_cuda_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="needs a CUDA build"):
        pick_device("cuda")
