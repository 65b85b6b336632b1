"""A model card: what an exported encoder is, where it comes from, and how to load it."""

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["model_card"]

_LOAD: Final[dict[str, str]] = {
    "onnx": """import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("{file}")
z = session.run(["embedding"], {{"imu": np.zeros((1, {channels}, {samples}), np.float32)}})[0]""",
    "torch": """import torch
encoder = torch.export.load("{file}").module()
z = encoder(torch.zeros(1, {channels}, {samples}))""",
    "safetensors": """from primus_train import load_encoder
encoder = load_encoder("{file}")
z = encoder(x, rate_hz=100)  # x: ({channels}, T) or (B, {channels}, T) at any rate""",
}


def model_card(meta: Mapping[str, Any], *, file: str, kind: str, licence: str | None) -> str:
    """Return the card in Markdown.

    Args:
        meta: what `describe` says of the run.
        file: name of the exported file.
        kind: its format.
        licence: of the weights; None leaves the field to be filled in.
    """
    imu, run = meta["imu"], meta["run"]
    channels = "\n".join(
        f"| {place} | {name} | {unit} |"
        for place, (name, unit) in enumerate(zip(imu["channels"], imu["units"], strict=True))
    )
    code = _LOAD[kind].format(file=file, channels=len(imu["channels"]), samples=imu["samples"])
    facts = {
        "objective": run["objective"],
        "representation": meta["representation"],
        "checkpoint SHA-256": run["checkpoint_sha256"],
        "run": run["key"],
        "seed": run["seed"],
        "step": run["step"],
        "store version": run["version"],
        "mask": run["mask"],
        "imported from": _imported(run["imported"]),
        **{f"best {name}": value for name, value in (run["best"] or {}).items()},
    }
    rows = "\n".join(
        f"| {name} | {_cell(value)} |" for name, value in facts.items() if value is not None
    )
    config = json.dumps(run["config"], indent=2, sort_keys=True)
    return f"""---
license: {licence or ""}
tags: [imu, wearable, primus]
---
# {file}

An IMU encoder: a window of motion in, an embedding of 512 numbers out, not normalised. Compare
embeddings by cosine similarity, or fit a linear classifier on them.
{"" if licence else LICENCE_NOTE}
## Input

Windows (B, {len(imu["channels"])}, {imu["samples"]}), float32, {imu["rate_hz"]} Hz. Gravity is part
of the acceleration; axes are the sensor's own unless the store says otherwise. Signals of another
rate have to be resampled first, which `load_encoder` does.

| row | channel | unit |
|---|---|---|
{channels}

## Load

```python
{code}
```

## Origin

| | |
|---|---|
{rows}

People, devices and activities unlike those it learned from are not covered by its metrics, and it
must not be relied on where an error could hurt someone.

## Config

```json
{config}
```
"""


LICENCE_NOTE: Final = """
The licence of these weights is not stated: whoever passes them on fills in `license` above, with
regard to the terms of the recordings they were trained on.
"""


def _imported(imported: Mapping[str, Any] | None) -> str | None:
    if imported is None:
        return None
    return f"{imported['file']}, layout {imported['layout']}, SHA-256 {imported['sha256']}"


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
