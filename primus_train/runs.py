"""A pretraining run's folder: what it is of, whether it is finished, and its record."""

import math
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch

from primus_train.config import FitConfig
from primus_train.data.fetch import OnFetch
from primus_train.data.store import StoreData, open_store
from primus_train.data.version import StoreIdentity, identify_store
from primus_train.distributed import Ranks, join_ranks
from primus_train.files import read_json, write_json
from primus_train.lineage import KEPT, keep_store_files, read_code
from primus_train.loop import BEST, LAST, FitState, pretrain
from primus_train.stopping import RunStoppedError, stop_requests
from schemas.errors import StoreDamagedError, UsageError

__all__ = ["RUN", "fit", "pick_device"]

RUN: Final = "run.json"


def pick_device(name: str, *, local_rank: int | None = None) -> torch.device:
    """Return the device called ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.

    Args:
        name: one of the three.
        local_rank: of this process on its machine, each of which needs a GPU of its own; None is
            the only one.

    Raises:
        UsageError: if CUDA is asked for and absent, has too few devices, or the name is another.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise UsageError(f"device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda needs a CUDA build of torch and a CUDA device, found none")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu" or local_rank is None:
        return torch.device(name)
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"each process needs a CUDA device of its own, got {torch.cuda.device_count()} for "
            f"process {local_rank + 1}: start fewer, or give --device cpu"
        )
    own = torch.device("cuda", local_rank)
    torch.cuda.set_device(own)
    return own


def _clear(out: Path) -> None:
    for name in (RUN, LAST, BEST, "metrics.jsonl"):
        (out / name).unlink(missing_ok=True)
    for folder in ("tensorboard", KEPT):
        shutil.rmtree(out / folder, ignore_errors=True)


def _changes(record: dict[str, Any], *, found: StoreIdentity, config: FitConfig) -> str:
    """Say in what the run on record differs from the one asked for."""
    before, now = record["store"], {**asdict(found), "config": config.model_dump(mode="json")}
    said = [
        f"its {name} is {before.get(name)}, asked for is {now[name]}"
        for name in ("version", "mask", "mask_sha256")
        if before.get(name) != now[name]
    ]
    if record["config"] != now["config"]:
        said.append("its config is another")
    return ", ".join(said) or "its trainer is another"


def _earlier(
    out: Path, *, found: StoreIdentity, config: FitConfig, resume: bool, overwrite: bool
) -> dict[str, Any] | None:
    """Return the record to go on from, None for a fresh start; refuse to mix two runs."""
    key = config.key(version=found.version, mask_sha256=found.mask_sha256)
    if not (out / RUN).is_file():
        return None
    record = read_json(out / RUN)
    if record["key"] != key and not overwrite:
        raise UsageError(
            "run folder must be empty or hold a run of this store version, mask, config and seed; "
            f"it holds another: give another --out, or --overwrite to replace it "
            f"({_changes(record, found=found, config=config)}) [run={out}]"
        )
    if record["key"] == key and (record["finished"] or resume):
        return record
    if not overwrite:
        raise UsageError(
            "run folder holds an unfinished run of this config: give --resume to go on or "
            f"--overwrite to start anew [run={out}]"
        )
    return None


def fit(
    store: str,
    *,
    config: FitConfig,
    out: Path,
    mask: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    on_step: Callable[[FitState], None] | None = None,
    on_open: Callable[[str], None] | None = None,
    on_fetch: OnFetch | None = None,
) -> dict[str, Any]:
    """Pretrain into a run's folder, or return the record of the finished run that is there.

    Under ``torchrun`` all its processes call this, and all get the record; the first one alone
    writes files and calls back.

    Args:
        store: ``URI[@REF]``.
        config: the run's config.
        out: the run's folder; gets run.json beside what training writes.
        mask: name of a mask of the version.
        resume: go on with an unfinished run of the same key, if there is one.
        overwrite: replace whatever run is there.
        device: ``auto``, ``cpu`` or ``cuda``.
        on_step: called after every step.
        on_open: called with one line that says where the store's arrays are.
        on_fetch: called while a remote version is fetched, with bytes done and of how many.

    Returns:
        The record in run.json, with ``reused`` telling whether it was there before.

    Raises:
        UsageError: if the folder holds another run, or an unfinished one without ``resume``.
        StoreDamagedError: if an object or the mask is not what its record says.
        StorageError: if a remote store or another process does not answer.
        RunStoppedError: if SIGTERM or Ctrl-C ended it; ``resume`` goes on after its last step.
    """
    with join_ranks() as ranks:
        found = identify_store(store, mask=mask)
        key = config.key(version=found.version, mask_sha256=found.mask_sha256)
        earlier = _earlier(out, found=found, config=config, resume=resume, overwrite=overwrite)
        # Nobody writes before all have looked.
        ranks.agree("the run's key", key)
        if earlier is not None and earlier["finished"]:
            return {**earlier, "reused": True}
        where = pick_device(device, local_rank=ranks.local_rank if ranks.size > 1 else None)

        def opened(verify: bool) -> StoreData:
            return open_store(
                found.pinned, mask=mask, load=config.data.load, verify=verify, on_fetch=on_fetch
            )

        data = ranks.one_machine_first(opened)
        if data.mask is not None and data.mask.sha256 != found.mask_sha256:
            raise StoreDamagedError(
                f"mask {mask} must stay as it is, somebody wrote another: run again "
                f"[{found.pinned}]"
            )
        if on_open is not None and ranks.first:
            on_open(data.loading.say())
        began = time.monotonic()
        seconds = 0.0 if earlier is None else float(earlier["seconds"])
        record = _begun(data, found=found, config=config, device=where, ranks=ranks, mask=mask)
        if ranks.first:
            if earlier is None:
                _clear(out)
            keep_store_files(data.root, data.version, out=out)
            write_json(out / RUN, {**record, "seconds": seconds})
        ranks.agree("the run's key", key)  # nobody reads a checkpoint before the old ones are gone
        with stop_requests() as stop:
            state = pretrain(
                data,
                config=config,
                out=out,
                device=where,
                resume=resume,
                on_step=on_step if ranks.first else None,
                ranks=ranks,
                stop=stop,
            )
            record |= {
                "finished": state.finished,
                "steps": state.step,
                "epochs": state.epoch,
                "train_rows": state.train_rows,
                "val_rows": state.val_rows,
                "loss": state.loss if math.isfinite(state.loss) else None,
                "best": state.best,
                "seconds": round(time.monotonic() - began + seconds, 3),
            }
            if ranks.first:
                write_json(out / RUN, record)
            # Who ends first may take the others with it: not before the files are written.
            ranks.agree("the step the run ends at", str(state.step))
    if state.stopped_by:
        raise RunStoppedError(
            f"stopped by {signal.Signals(state.stopped_by).name} after step {state.step} of "
            f"{state.steps}, which {LAST} holds: give --resume to go on [run={out}]",
            number=state.stopped_by,
        )
    return {**record, "reused": False}


def _begun(
    data: StoreData,
    *,
    found: StoreIdentity,
    config: FitConfig,
    device: torch.device,
    ranks: Ranks,
    mask: str | None,
) -> dict[str, Any]:
    """Return what is known of a run before its first step."""
    return {
        "key": config.key(version=found.version, mask_sha256=found.mask_sha256),
        "finished": False,
        "store": {
            "uri": found.public_uri,
            "version": data.version,
            "mask": mask,
            "mask_sha256": found.mask_sha256,
            "mask_spec": None if data.mask is None else data.mask.spec.model_dump(mode="json"),
        },
        "objective": config.objective.name,
        "representation": config.objective.representation,
        "permute_video": config.data.permute_video,
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
        "device": device.type,
        "ranks": ranks.size,
        "arrays": data.loading.mode,
        "code": read_code().model_dump(mode="json"),
    }
