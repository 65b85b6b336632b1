"""One self-contained page about a version: opens offline, asks the network for nothing."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from pipelines.parts.store import PartStore
from pipelines.report.example_card import show_example, show_examples
from pipelines.report.examples import read_examples
from pipelines.report.markup import Html, element, join
from pipelines.report.quality import (
    choose_examples,
    count_labels,
    spread_rows,
    summarise_column,
    summarise_takes,
    summarise_version,
)
from pipelines.report.quality_section import show_quality
from pipelines.report.sections import (
    section,
    show_alignment,
    show_funnel,
    show_labels,
    show_making,
    show_overview,
    show_quarantine,
    show_segments,
)
from pipelines.report.style import STYLE
from pipelines.storage.files import local_copy, write_atomic
from pipelines.storage.places import Place, open_place
from pipelines.stores.contents import read_object
from pipelines.stores.verify import read_manifest
from schemas.errors import StoreDamagedError, UsageError
from schemas.manifest import Manifest
from schemas.store import QUARANTINE, RUN, SEGMENTS, parse_json, version_path
from schemas.time import NS_PER_MS

__all__ = ["write_report"]

# The page may show its own style and its own pictures, and fetch or run nothing.
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_report(
    store: Place,
    *,
    version: str,
    parts_root: Place | None = None,
    out: Path,
    details: int = 24,
    rows: int = 500,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the report of a version as one HTML file.

    Args:
        store: place of the store.
        version: id of the version.
        parts_root: where the parts lie, for pictures; None looks where the run record says, then
            in the store. Without any there are no pictures, and the page says so.
        out: the file to write; appears whole or not at all.
        details: segments shown in full, with pictures and traces.
        rows: longest table, in rows.
        seed: of the choice of examples.
        progress: called with (examples done, examples in all).

    Raises:
        StoreNotFoundError: if the version is not in the store.
        NewerFormatError: if a newer format wrote it.
        StoreDamagedError: if its manifest is not the one its id names.
    """
    folder = store / version_path(version)
    manifest = read_manifest(store, version)
    run = _read_run(folder)
    with (
        local_copy(folder / SEGMENTS) as table,
        local_copy(folder / QUARANTINE) as quarantined,
    ):
        segments = pl.scan_parquet(table)
        encoder = manifest.encoder
        overview = summarise_version(
            segments, max_tokens=encoder.max_tokens if encoder is not None else None
        )
        quarantine = pl.scan_parquet(quarantined)
        held = int(quarantine.select(pl.len()).collect().item())
        listed = segments.with_row_index("row").filter(
            pl.col("row").is_in(list(spread_rows(overview.segments, limit=rows)))
        )
        sections = [
            (
                "labels",
                "Splits and labels",
                show_labels(count_labels(segments)),
            ),
            ("funnel", "From plan to store", show_funnel(manifest.counts)),
            (
                "quarantine",
                "Quarantined takes",
                show_quarantine(quarantine.head(rows).collect(), total=held),
            ),
            (
                "alignment",
                "Alignment",
                show_alignment(
                    summarise_takes(segments),
                    frame_error=summarise_column(
                        segments, column="frame_error_ns", scale=NS_PER_MS
                    ),
                    limit=rows,
                ),
            ),
            ("quality", "Quality", show_quality(segments, manifest=manifest)),
            (
                "examples",
                "Examples",
                _show_examples(
                    folder,
                    table=table,
                    manifest=manifest,
                    run=run,
                    parts_root=parts_root or _find_parts(store, run),
                    count=details,
                    seed=seed,
                    progress=progress,
                ),
            ),
            ("segments", "Segments", show_segments(listed.collect(), total=overview.segments)),
            ("making", "How it was made", show_making(manifest, run=run)),
        ]
        write_atomic(
            out,
            _page(
                f"{manifest.dataset} {version}",
                show_overview(overview, manifest=manifest),
                subtitle=(
                    "A version of IMU windows alone."
                    if encoder is None
                    else "A version of synchronized IMU, video and text."
                ),
                warning=encoder.meaning if encoder is not None else None,
                sections=sections,
            ).encode(),
        )


def _read_run(folder: Place) -> Mapping[str, Any]:
    # A version is whole without its run record; then there are no pictures and no times to show.
    path = folder / RUN
    try:
        run = parse_json(read_object(path)) if path.is_file() else {}
    except ValueError as error:
        raise StoreDamagedError(f"run record must be JSON, got {error} [{path}]") from error
    if not isinstance(run, dict):
        raise StoreDamagedError(f"run record must be an object [{path}]")
    return run


def _find_parts(store: Place, run: Mapping[str, Any]) -> Place | None:
    named: list[Place] = []
    if uri := run.get("parts_uri"):
        try:
            named = [open_place(str(uri))]
        except UsageError:
            named = []  # of a kind that this machine cannot read
    return next((place for place in (*named, store / "parts") if place.is_dir()), None)


def _show_examples(
    folder: Place,
    *,
    table: Path,
    manifest: Manifest,
    run: Mapping[str, Any],
    parts_root: Place | None,
    count: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Html:
    labels = pl.scan_parquet(table).select("label").collect()["label"]
    rows = choose_examples(labels, count=count, generator=np.random.default_rng(seed))
    keys = {
        take_uid: keys["frames"]
        for take_uid, keys in run.get("parts", {}).items()
        # A record may come from anywhere, and a key becomes a path.
        if _KEY.fullmatch(str(keys.get("frames", "")))
    }
    shown: list[Html] = []
    for example in read_examples(
        folder,
        table=table,
        imu=manifest.imu,
        rows=rows,
        parts=PartStore(parts_root) if parts_root is not None else None,
        frames_keys=keys,
    ):
        shown.append(
            show_example(example, channels=manifest.imu.channels, units=manifest.imu.units)
        )
        if progress is not None:
            progress(len(shown), len(rows))
    remark = f"{len(rows)} segments, drawn at random with seed {seed}, every label in turn."
    return join([element("p", remark, class_="soft"), show_examples(shown)])


def _page(
    title: str,
    overview: Html,
    *,
    subtitle: str,
    warning: str | None,
    sections: list[tuple[str, str, Html]],
) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title}: report"),
        element("style", Html(STYLE)),
    )
    warn: Html = Html()
    if warning is not None:
        warn = element("p", element("strong", "Embeddings: "), warning, class_="warn")
    body = element(
        "main",
        element("h1", title),
        element("p", subtitle, class_="soft"),
        element("nav", *(element("a", words, href=f"#{name}") for name, words, _ in sections)),
        warn,
        overview,
        *(section(name, words, content) for name, words, content in sections),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}\n"
