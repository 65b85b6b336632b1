"""What every result's folder has in common: it is found again under its key, not computed again."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from primus_train.data.fetch import OnFetch
from primus_train.data.store import StoreData, open_store
from primus_train.data.version import StoreIdentity
from primus_train.files import file_sha256, read_json, write_atomic
from primus_train.probes.table import PROBE_SCHEMA
from primus_train.representation import Pretrained, read_pretrained
from schemas.errors import UsageError
from schemas.store import canonical_json, sha256_hex

__all__ = ["find_result", "open_version", "read_encoder", "result_key", "write_table"]


def find_result(path: Path, *, key: str, overwrite: bool) -> dict[str, Any] | None:
    """Return the report in ``path`` if it is of ``key``; None where there is room for one.

    Raises:
        UsageError: if another report is there and may not be replaced.
    """
    if not path.is_file():
        return None
    record = read_json(path)
    if record.get("key") == key:
        return record
    if not overwrite:
        raise UsageError(
            "result folder must be empty or hold a result of this checkpoint, store version and "
            f"config; it holds another: give another --out, or --overwrite [file={path}]"
        )
    return None


def result_key(kind: str, *, checkpoint: Path, version: str, config: dict[str, Any]) -> str:
    """Return the SHA-256 that names a result of ``kind`` of a checkpoint file on a version."""
    identity = {
        "kind": kind,
        "trainer": 1,
        "checkpoint": file_sha256(checkpoint),
        "version": version,
        "config": config,
    }
    return sha256_hex(canonical_json(identity))


def read_encoder(
    checkpoint: Path, *, untrained: bool = False, device: torch.device | None
) -> Pretrained:
    """Return the encoder of a checkpoint file on ``device``, a CPU by default."""
    pretrained = read_pretrained(checkpoint, untrained=untrained)
    pretrained.objective.to(device or torch.device("cpu"))
    return pretrained


def open_version(
    found: StoreIdentity, *, on_open: Callable[[str], None] | None, on_fetch: OnFetch | None
) -> StoreData:
    """Return the version, once ``on_open`` was told where its arrays are."""
    data = open_store(found.pinned, on_fetch=on_fetch)
    if on_open is not None:
        on_open(data.loading.say())
    return data


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of `PROBE_SCHEMA` as Parquet, whole or not at all."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=PROBE_SCHEMA), buffer)
    write_atomic(path, buffer.getvalue())
