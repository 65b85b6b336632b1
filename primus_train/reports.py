"""Results of one encoder on one version, each in a folder of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from primus_train.checkpoint import find_checkpoint
from primus_train.data.fetch import OnFetch
from primus_train.data.version import identify_store
from primus_train.directions import retrieve_everywhere
from primus_train.figures import probe_figure
from primus_train.files import file_sha256, write_atomic, write_json
from primus_train.lineage import read_code
from primus_train.probes.fewshot import ProbeConfig, Prompts, probe
from primus_train.representation import embed_rows
from primus_train.results import (
    find_result,
    open_version,
    read_encoder,
    result_key,
    write_table,
)
from primus_train.uniformity import measure_sphere
from primus_train.zeroshot import refuse_unaligned, zeroshot
from schemas.errors import StoreNotFoundError, UsageError

__all__ = ["report_probe", "report_retrieval", "report_zeroshot"]

_RETRIEVAL: Final = 2
"""Raised when a retrieval's report says other things of the same checkpoint and version."""
_SPHERE_ROWS: Final = 4096
"""Whose alignment and uniformity are measured: eight million pairs."""


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
    key = result_key("probe", checkpoint=checkpoint, version=found.version, config=asked)
    earlier = find_result(out / "probe.json", key=key, overwrite=overwrite)
    if earlier is not None:
        return {**earlier, "reused": True}
    pretrained = read_encoder(checkpoint, untrained=untrained, device=device)
    data = open_version(found, on_open=on_open, on_fetch=on_fetch)
    report = {
        "key": key,
        "store": found.public_uri,
        "code": read_code().model_dump(mode="json"),
        **probe(pretrained, data, config=config, prompts=prompts, on_progress=on_progress),
    }
    write_table(out / "probe.parquet", report["rows"])
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
    """Score retrieval among the segments of ``splits`` in all directions, and their embeddings.

    The gallery is every non-overlapping segment of the splits, ties are averaged. Alignment and
    uniformity stand beside it as ``sphere``.

    Returns:
        The report; with ``out`` also written there as retrieve.json and reused from there.

    Raises:
        UsageError: if the run had no multimodal term, the version was embedded by another encoder,
            or the splits show nothing to retrieve.
    """
    checkpoint = find_checkpoint(run)
    found = identify_store(store)
    asked = {"splits": list(splits), "report": _RETRIEVAL}
    key = result_key("retrieve", checkpoint=checkpoint, version=found.version, config=asked)
    if out is not None:
        earlier = find_result(out / "retrieve.json", key=key, overwrite=overwrite)
        if earlier is not None:
            return {**earlier, "reused": True}
    pretrained = read_encoder(checkpoint, device=device)
    objective = pretrained.objective
    if not objective.aligned_with:
        raise UsageError(
            "retrieval needs a run pretrained with the term mm, got "
            f"{pretrained.config.objective.name} [checkpoint={checkpoint}]"
        )
    data = open_version(found, on_open=on_open, on_fetch=on_fetch)
    pretrained.check_fits(data)
    widths = {"video": int(data.video.shape[1]), "text": int(data.text.shape[1])}
    if widths != pretrained.meta["widths"]:
        raise UsageError(
            f"embedding widths must be as in pretraining, {pretrained.meta['widths']}, "
            f"got {widths} [version={found.version}]"
        )
    if data.manifest.encoder is not None:
        pretrained.check_embedded(
            data.manifest.encoder, what="video and text", place=f"version={found.version}"
        )
    rows = data.rows(splits=splits)
    rows = rows[np.any(data.valid[rows][:, 1:].numpy(), axis=1)]

    def report_rows(done: int) -> None:
        if on_progress is not None:
            on_progress("window", done, len(rows))

    embedded = embed_rows(objective, data, rows, on_rows=report_rows)
    scores = retrieve_everywhere(objective, data, rows, multimodal=embedded.multimodal)
    if not any(name.startswith("imu_") for name in scores):
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
        "representation": objective.representation,
        "sphere": measure_sphere(
            objective, data, rows, embeddings=embedded, most=_SPHERE_ROWS, frozen=True
        ),
    }
    if out is not None:
        write_json(out / "retrieve.json", report)
    return {**report, "reused": False}


def report_zeroshot(
    run: Path,
    *,
    store: str,
    out: Path,
    splits: tuple[str, ...] = ("test",),
    classes: tuple[str, ...] | None = None,
    prompts: Path | None = None,
    overwrite: bool = False,
    device: torch.device | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_open: Callable[[str], None] | None = None,
    on_fetch: OnFetch | None = None,
) -> dict[str, Any]:
    """Classify windows without a label into ``out``: zeroshot.json and zeroshot.parquet.

    Args:
        run: a run's folder, or a checkpoint file.
        store: ``URI[@REF]``.
        out: the results' folder.
        splits: evaluated ones.
        classes: labels to tell apart; None for all.
        prompts: of ``primus-prep embed-prompts``; None for the narrations of split train.
        overwrite: replace another result in ``out``.
        device: where to encode.
        on_progress: called with ``window``, done and of how many.
        on_open: called with one line that says where the store's arrays are.
        on_fetch: called while a remote version is fetched, with bytes done and of how many.

    Returns:
        The report in zeroshot.json, with ``reused`` telling whether it was there before.

    Raises:
        UsageError: as `zeroshot`, or if ``out`` holds another result and ``overwrite`` is not set.
        StoreNotFoundError: if there is no such file of prompts.
    """
    checkpoint = find_checkpoint(run)
    found = identify_store(store)
    if prompts is not None and not prompts.is_file():
        raise StoreNotFoundError(f"prompts must be a file, none found [file={prompts}]")
    asked = {
        "splits": list(splits),
        "classes": None if classes is None else sorted(classes),
        "prompts": None if prompts is None else file_sha256(prompts),
    }
    key = result_key("zeroshot", checkpoint=checkpoint, version=found.version, config=asked)
    earlier = find_result(out / "zeroshot.json", key=key, overwrite=overwrite)
    if earlier is not None:
        return {**earlier, "reused": True}
    pretrained = read_encoder(checkpoint, device=device)
    refuse_unaligned(pretrained)  # before a remote version is fetched for nothing
    data = open_version(found, on_open=on_open, on_fetch=on_fetch)
    report = {
        "key": key,
        "store": found.public_uri,
        "code": read_code().model_dump(mode="json"),
        "splits": list(splits),
        **zeroshot(
            pretrained,
            data,
            splits=splits,
            classes=classes,
            prompts=prompts,
            on_progress=on_progress,
        ),
    }
    write_table(out / "zeroshot.parquet", report["rows"])
    write_json(out / "zeroshot.json", report)
    return {**report, "reused": False}
