"""Probe and retrieval results in a folder, found again under their key instead of recomputed."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from primus_train.checkpoint import find_checkpoint
from primus_train.data.fetch import OnFetch
from primus_train.data.store import open_store
from primus_train.data.version import identify_store
from primus_train.figures import probe_figure
from primus_train.files import file_sha256, read_json, write_atomic, write_json
from primus_train.lineage import read_code
from primus_train.probes.fewshot import PROBE_SCHEMA, ProbeConfig, Prompts, probe
from primus_train.representation import embed_rows, read_pretrained
from primus_train.validation import retrieve_targets
from schemas.errors import UsageError
from schemas.store import canonical_json, sha256_hex

__all__ = ["report_probe", "report_retrieval"]


def _earlier(path: Path, *, key: str, overwrite: bool) -> dict[str, Any] | None:
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


def _key(kind: str, *, checkpoint: Path, version: str, config: dict[str, Any]) -> str:
    identity = {
        "kind": kind,
        "trainer": 1,
        "checkpoint": file_sha256(checkpoint),
        "version": version,
        "config": config,
    }
    return sha256_hex(canonical_json(identity))


def report_probe(
    run: Path,
    *,
    store: str,
    out: Path,
    config: ProbeConfig,
    prompts: Prompts | None = None,
    untrained: bool = False,
    overwrite: bool = False,
    device: torch.device | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_open: Callable[[str], None] | None = None,
    on_fetch: OnFetch | None = None,
) -> dict[str, Any]:
    """Probe a run's encoder into ``out``: probe.json, probe.parquet and probe.png.

    Args:
        run: a run's folder, or a checkpoint file.
        store: ``URI[@REF]``.
        out: the results' folder.
        config: the protocol.
        prompts: class: embedding (Dt,) of its prompts, where a head may start.
        untrained: give the encoder its first weights back.
        overwrite: replace another result in ``out``.
        device: where to encode.
        on_progress: called with ``window`` or ``trial``, done and of how many.
        on_open: called with one line that says where the store's arrays are.
        on_fetch: called while a remote version is fetched, with bytes done and of how many.

    Returns:
        The report in probe.json, with ``reused`` telling whether it was there before.

    Raises:
        UsageError: if ``out`` holds another result and ``overwrite`` is not set.
    """
    checkpoint = find_checkpoint(run)
    found = identify_store(store)
    asked = {**config.model_dump(mode="json"), "untrained": untrained}
    if prompts is not None:
        asked["prompts"] = {name: [float(x) for x in prompts[name]] for name in sorted(prompts)}
    key = _key("probe", checkpoint=checkpoint, version=found.version, config=asked)
    earlier = _earlier(out / "probe.json", key=key, overwrite=overwrite)
    if earlier is not None:
        return {**earlier, "reused": True}
    pretrained = read_pretrained(checkpoint, untrained=untrained)
    pretrained.objective.to(device or torch.device("cpu"))
    data = open_store(found.pinned, on_fetch=on_fetch)
    if on_open is not None:
        on_open(data.loading.say())
    report = {
        "key": key,
        "store": found.public_uri,
        "code": read_code().model_dump(mode="json"),
        **probe(pretrained, data, config=config, prompts=prompts, on_progress=on_progress),
    }
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(report["rows"], schema=PROBE_SCHEMA), buffer)
    write_atomic(out / "probe.parquet", buffer.getvalue())
    title = (
        f"{config.protocol} probe, {report['encoder']} encoder ({report['objective']}), "
        f"{report['representation']}"
    )
    write_atomic(out / "probe.png", probe_figure(report["rows"], title=title))
    write_json(out / "probe.json", report)
    return {**report, "reused": False}


def report_retrieval(
    run: Path,
    *,
    store: str,
    splits: tuple[str, ...],
    out: Path | None = None,
    overwrite: bool = False,
    device: torch.device | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_open: Callable[[str], None] | None = None,
    on_fetch: OnFetch | None = None,
) -> dict[str, Any]:
    """Score how IMU windows of ``splits`` retrieve their own video and text.

    The gallery is every non-overlapping segment of the splits, ties are averaged.

    Returns:
        The report; with ``out`` also written there as retrieve.json and reused from there.

    Raises:
        UsageError: if the run had no multimodal term, or the splits show nothing to retrieve.
    """
    checkpoint = find_checkpoint(run)
    found = identify_store(store)
    key = _key(
        "retrieve", checkpoint=checkpoint, version=found.version, config={"splits": list(splits)}
    )
    if out is not None:
        earlier = _earlier(out / "retrieve.json", key=key, overwrite=overwrite)
        if earlier is not None:
            return {**earlier, "reused": True}
    pretrained = read_pretrained(checkpoint)
    objective = pretrained.objective.to(device or torch.device("cpu"))
    if not objective.aligned_with:
        raise UsageError(
            "retrieval needs a run pretrained with the term mm, got "
            f"{pretrained.config.objective.name} [checkpoint={checkpoint}]"
        )
    data = open_store(found.pinned, on_fetch=on_fetch)
    if on_open is not None:
        on_open(data.loading.say())
    pretrained.check_fits(data)
    widths = {"video": int(data.video.shape[1]), "text": int(data.text.shape[1])}
    if widths != pretrained.meta["widths"]:
        raise UsageError(
            f"embedding widths must be as in pretraining, {pretrained.meta['widths']}, "
            f"got {widths} [version={found.version}]"
        )
    rows = data.rows(splits=splits)
    rows = rows[np.any(data.valid[rows][:, 1:].numpy(), axis=1)]

    def report_rows(done: int) -> None:
        if on_progress is not None:
            on_progress("window", done, len(rows))

    embedded = embed_rows(objective, data, rows, on_rows=report_rows)
    scores = retrieve_targets(objective, data, rows, multimodal=embedded.multimodal)
    if not scores:
        raise UsageError(
            f"splits {','.join(splits)} must hold segments with IMU and "
            f"{' or '.join(objective.aligned_with)}, got none [version={found.version}]"
        )
    report = {
        "key": key,
        "objective": pretrained.config.objective.name,
        "permute_video": pretrained.config.data.permute_video,
        "checkpoint_sha256": pretrained.sha256,
        "version": found.version,
        "store": found.public_uri,
        "code": read_code().model_dump(mode="json"),
        "pretrained_on": pretrained.origin(),
        "splits": list(splits),
        "ties": "averaged",
        **scores,
    }
    if out is not None:
        write_json(out / "retrieve.json", report)
    return {**report, "reused": False}
