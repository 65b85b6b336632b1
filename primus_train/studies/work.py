"""One piece of a study's work: a pretraining run or a probe, in this process."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch

from primus_train.checkpoint import find_checkpoint
from primus_train.config import FitConfig
from primus_train.loop import FitState
from primus_train.probes.config import ProbeConfig
from primus_train.prompts import file_prompts
from primus_train.reports import report_probe
from primus_train.representation import read_pretrained
from primus_train.runs import fit, pick_device
from primus_train.stopping import RunStoppedError
from primus_train.studies.plan import FitTask, ProbeTask
from schemas.errors import PrimusError, UsageError

__all__ = ["Note", "attempt", "fit_order", "probe_order"]

Note = Callable[[str], None]
"""Is told how far a piece of work is."""
_NOTE_EVERY_S: Final = 0.5


def fit_order(task: FitTask) -> dict[str, Any]:
    """Return a run to make as JSON, for a process that knows nothing of the plan."""
    return {
        "do": "fit",
        "key": task.key,
        "store": task.store,
        "mask": task.mask,
        "config": task.config.model_dump(mode="json"),
        "out": str(task.folder.absolute()),
    }


def probe_order(task: ProbeTask, *, run: Path) -> dict[str, Any]:
    """Return a probe to make of the run in ``run`` as JSON."""
    return {
        "do": "probe",
        "store": task.store,
        "run": str(run.absolute()),
        "untrained": task.untrained,
        "prompts": None if task.prompts is None else str(task.prompts.absolute()),
        "config": task.config.model_dump(mode="json"),
        "out": str(task.folder.absolute()),
    }


def attempt(order: Mapping[str, Any], *, device: str, note: Note) -> dict[str, Any]:
    """Return ``{"result": record}``, or ``{"failed": reason}``: one fault does not end a study.

    Args:
        order: what to do.
        device: ``auto``, ``cpu`` or ``cuda``.
        note: told how far it is.

    Raises:
        RunStoppedError: if a signal asked to stop.
    """
    do = {"fit": _fit, "probe": _probe}[order["do"]]
    said = -math.inf

    def seldom(text: str) -> None:
        nonlocal said
        if time.monotonic() - said >= _NOTE_EVERY_S:
            said = time.monotonic()
            note(text)

    try:
        return {"result": do(order, device=device, note=seldom)}
    except RunStoppedError:
        raise
    except Exception as error:
        sentence = " ".join(str(error).split())
        if not isinstance(error, PrimusError):
            sentence = f"{type(error).__name__}: {sentence}"
        return {"failed": sentence}
    finally:
        if torch.cuda.is_available():
            # The next encoder's arrays need the room.
            torch.cuda.empty_cache()


def _fit(order: Mapping[str, Any], *, device: str, note: Note) -> dict[str, Any]:
    def on_step(state: FitState) -> None:
        note(f"step {state.step}/{state.steps}")

    record = fit(
        order["store"],
        config=FitConfig.model_validate(order["config"]),
        out=Path(order["out"]),
        mask=order["mask"],
        resume=True,
        device=device,
        on_step=on_step,
    )
    if record["key"] != order["key"]:
        raise UsageError(
            f"mask {order['mask']} must stay as it is, somebody wrote another: run the study again "
            f"[{order['store']}]"
        )
    return record


def _probe(order: Mapping[str, Any], *, device: str, note: Note) -> dict[str, Any]:
    run, prompts = Path(order["run"]), None
    if order["prompts"] is not None:
        prompts = file_prompts(read_pretrained(find_checkpoint(run)), Path(order["prompts"]))
    return report_probe(
        run,
        store=order["store"],
        out=Path(order["out"]),
        config=ProbeConfig.model_validate(order["config"]),
        prompts=prompts,
        untrained=order["untrained"],
        # Its folder is named after what it is of: another result there is of other weights.
        overwrite=True,
        device=pick_device(device),
        on_progress=lambda unit, done, total: note(f"{unit} {done}/{total}"),
    )
