"""A run's folder from a published checkpoint: afterwards it is read like any other run."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

import torch

from primus_train.checkpoint import Checkpoint, write_checkpoint
from primus_train.config import EncoderConfig, FitConfig, ObjectiveConfig, parse_objective
from primus_train.encoders.stacked_rnn import WIDTH
from primus_train.files import file_sha256, read_json, write_json
from primus_train.interchange.published import (
    LAYOUTS,
    LayoutName,
    find_layout,
    published_state,
    read_published,
)
from primus_train.lineage import read_code
from primus_train.loop import BEST
from primus_train.objectives.registry import make_objective
from primus_train.runs import RUN
from schemas.errors import UsageError
from schemas.imu import IMU_CHANNELS, IMU_UNITS
from schemas.store import canonical_json, sha256_hex
from schemas.time import NS_PER_S

__all__ = ["import_checkpoint"]

_IMPORT_VERSION: Final = 1
"""Raised when the same file gives other weights: it is part of the run's key."""
_TEACHER_WIDTH: Final = WIDTH
"""Both published encoders were trained against CLIP embeddings of 512 numbers."""


def import_checkpoint(
    source: Path,
    *,
    out: Path,
    layout: LayoutName | Literal["auto"] = "auto",
    objective: str | None = None,
    rate_hz: str | None = None,
    samples: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a run's folder whose encoder is that of a published checkpoint.

    The windows it was trained on are taken to be accelerometer xyz in m/s2, then gyroscope xyz in
    rad/s; every command that reads a store checks that the store's are the same.

    Args:
        source: the published file.
        out: the run's folder; gets best.pt and run.json.
        layout: of the file; ``auto`` tells it by its keys, and takes one without heads for
            IMU2CLIP's.
        objective: what it was trained by, which decides what its embeddings are compared with.
        rate_hz: of its windows, as a fraction; None leaves the layout's.
        samples: T of its windows; None leaves the layout's.
        overwrite: replace another imported run; a pretrained one is never replaced.

    Returns:
        The record in run.json, with ``reused`` telling whether it was there before.

    Raises:
        StoreNotFoundError: if there is no such file.
        UsageError: if the file is not of a layout we know, or the folder holds another run.
    """
    tensors = read_published(source)
    name = find_layout(tensors) if layout == "auto" else layout
    spec = LAYOUTS[name]
    imu = _window_spec(rate_hz=rate_hz or spec.rate_hz, samples=samples or spec.samples)
    config = FitConfig(
        objective=ObjectiveConfig.model_validate(parse_objective(objective or spec.objective)),
        encoder=EncoderConfig(gru_axis="channel", pooling=spec.pooling),
    )
    imported = {"file": source.name, "sha256": file_sha256(source), "layout": name}
    asked = {"config": config.model_dump(mode="json"), "imu": imu}
    identity = {"kind": "imported", "importer": _IMPORT_VERSION, **asked}
    key = sha256_hex(canonical_json({**identity, "sha256": imported["sha256"], "layout": name}))
    earlier = _earlier(out, key=key, overwrite=overwrite)
    if earlier is not None:
        return {**earlier, "reused": True}
    made = make_objective(config, channels=6, video_width=_TEACHER_WIDTH, text_width=_TEACHER_WIDTH)
    made.encoder.load_state_dict(published_state(tensors, layout=name))
    with torch.no_grad():  # refuses a window that the encoder does not take
        made.encoder.eval()(torch.zeros(1, 6, imu["samples"]))
    store = dict.fromkeys(("uri", "version", "mask", "mask_sha256", "mask_spec"))
    meta: dict[str, Any] = {
        **{field: store[field] for field in ("version", "mask", "mask_sha256", "mask_spec")},
        **asked,
        **dict.fromkeys(("step", "loss", "best")),
        "widths": {"video": _TEACHER_WIDTH, "text": _TEACHER_WIDTH},
        "classes": [],
        "run": key,
        "imported": imported,
    }
    weights = {
        f"model.{name}": tensor
        for name, tensor in made.state_dict().items()
        if not name.startswith("bank.")
    }
    write_checkpoint(out / BEST, Checkpoint(tensors=weights, meta=meta))
    record: dict[str, Any] = {
        "key": key,
        "finished": True,
        "origin": "imported",
        "imported": imported,
        "store": store,
        "objective": config.objective.name,
        "representation": made.representation,
        "permute_video": config.data.permute_video,
        "seed": config.seed,
        **asked,
        "device": "cpu",
        "code": read_code().model_dump(mode="json"),
        "steps": None,
    }
    write_json(out / RUN, record)
    return {**record, "reused": False}


def _window_spec(*, rate_hz: str, samples: int) -> dict[str, Any]:
    """Return what the windows are, as stores say it of theirs."""
    try:
        rate = Fraction(rate_hz)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0 or samples <= 0:
        raise UsageError(
            f"windows must have a rate above 0 Hz, a number or a fraction, and samples, got "
            f"{rate_hz} Hz and {samples}"
        )
    return {
        "channels": list(IMU_CHANNELS),
        "units": list(IMU_UNITS),
        "samples": samples,
        "rate_hz": str(rate),
        "length_ns": round(samples * NS_PER_S / rate),
    }


def _earlier(out: Path, *, key: str, overwrite: bool) -> dict[str, Any] | None:
    if not (out / RUN).is_file():
        return None
    record = read_json(out / RUN)
    if record["key"] == key and (out / BEST).is_file():
        return record
    if record.get("origin") != "imported":
        raise UsageError(
            f"run folder must be empty or hold an imported run, it holds a pretrained one: give "
            f"another --out [run={out}]"
        )
    if not overwrite:
        raise UsageError(
            "run folder must be empty or hold the import of this file with these options; it "
            f"holds another import: give another --out, or --overwrite to replace it [run={out}]"
        )
    return None
