"""A version's dataset card: Markdown under a YAML head, in the form that dataset hubs show."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipelines.storage.places import Place
from pipelines.stores.sealed import read_manifest
from schemas.manifest import Manifest
from schemas.modality import MODALITIES
from schemas.segment import SPLITS
from schemas.store import ARRAYS, MANIFEST, QUARANTINE, SEGMENTS, sha256_hex, version_path

__all__ = ["make_card"]

_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_ORIGINS: Final = ("text_source", "imu_stream", "imu_frame", "video_variant", "decoder")
_ROWS: Final = 65_536
_FEATURES: Final = {"bool": "bool", "int32": "int32", "int64": "int64", "float": "float32"}


def make_card(
    store: Place, version: str, *, pretty_name: str | None = None, licence: str = "unknown"
) -> str:
    """Return a version's card; it hangs on the version alone, wherever the store lies.

    Args:
        store: place of the store.
        version: id of the version.
        pretty_name: the dataset's name for people; its short name by default.
        licence: id of a licence as hubs write it, such as ``cc-by-4.0`` or ``other``; the
            recordings' licence is for whoever publishes the card to say.

    Raises:
        StoreNotFoundError: if there is no such version.
        StoreDamagedError: if its manifest cannot be trusted.
    """
    manifest = read_manifest(store, version)
    digest = sha256_hex((store / version_path(version, MANIFEST)).read_bytes())
    with (store / version_path(version, SEGMENTS)).open("rb") as file:
        table = pq.ParquetFile(file)
        schema = table.schema_arrow
        origins = _count_origins(table, schema)
    name = pretty_name or manifest.dataset
    head = yaml.safe_dump(
        _front_matter(manifest, version=version, schema=schema, name=name, licence=licence),
        sort_keys=False,
        allow_unicode=True,
    )
    sections = [
        f"---\n{head}---\n",
        f"# {_escape(name)}\n\n{_describe(manifest)}",
        f"## Structure\n\n{_structure(manifest, schema)}",
        f"## Splits\n\n{_splits(manifest)}",
        f"## Creation\n\n{_creation(manifest, origins)}",
        f"## Quality\n\n{_quality(manifest)}",
        f"## What was left out\n\n{_left_out(manifest)}",
        f"## Known limits\n\n{_limits(manifest)}",
        f"## Loading\n\n{_loading(manifest, version)}",
        f"## Lineage\n\nVersion `{version}`; SHA-256 of its manifest `{digest}`. "
        "`primus-prep store show STORE@" + version + " --lineage` tells every source file's "
        "fingerprint, the encoder's weights and the code that made it.\n",
    ]
    return "\n".join(sections)


def _front_matter(
    manifest: Manifest, *, version: str, schema: pa.Schema, name: str, licence: str
) -> dict[str, Any]:
    rows = manifest.counts.stored
    sizes = {entry.path: entry.size for entry in manifest.objects}
    embedded = manifest.encoder is not None
    return {
        "pretty_name": name,
        "license": licence,
        "task_categories": ["feature-extraction", "other"],
        "tags": [
            "imu",
            "wearable",
            "time-series",
            *(["video-embeddings", "text-embeddings", "egocentric"] if embedded else []),
            "zarr",
        ],
        "size_categories": [next((said for most, said in _SIZES if rows < most), "n>10M")],
        "configs": [
            {
                "config_name": "segments",
                "data_files": [{"split": "segments", "path": version_path(version, SEGMENTS)}],
            }
        ],
        "dataset_info": {
            "config_name": "segments",
            "features": [
                {"name": field.name, "dtype": _FEATURES.get(str(field.type), "string")}
                for field in schema
            ],
            "splits": [
                {"name": "segments", "num_bytes": sizes[SEGMENTS], "num_examples": rows},
            ],
            "download_size": sum(sizes.values()),
            "dataset_size": sum(sizes.values()),
        },
    }


def _describe(manifest: Manifest) -> str:
    counts, imu = manifest.counts, manifest.imu
    shown = "IMU, video and text" if manifest.encoder is not None else "IMU"
    text = (
        f"{counts.stored} segments of {imu.length_ns / 1e9:g} s from {counts.takes} takes of "
        f"the dataset {_escape(manifest.dataset)}: synchronized {shown}, prepared for pretraining "
        "IMU encoders.\n"
    )
    if manifest.encoder is not None:
        text += (
            "\nVideo and text are embeddings of a frozen encoder; no picture is held. "
            "Sentences are held as annotated and as the encoder read them.\n"
        )
    return text


def _structure(manifest: Manifest, schema: pa.Schema) -> str:
    imu, encoder, rows = manifest.imu, manifest.encoder, manifest.counts.stored
    axes = "; ".join(
        f"{_escape(channel)} in {_escape(unit)}"
        for channel, unit in zip(imu.channels, imu.units, strict=True)
    )
    windows = f"{rows} x {len(imu.channels)} x {imu.samples}"
    arrays = [
        ("imu", "float32", windows, f"{_escape(imu.rate_hz)} Hz: {axes}"),
    ]
    if encoder is not None:
        arrays += [
            ("video", "float16", f"{rows} x {encoder.video_dim}", "unit norm, or zeros"),
            ("text", "float16", f"{rows} x {encoder.text_dim}", "unit norm, or zeros"),
        ]
    modalities = ", ".join(MODALITIES)
    arrays.append(("valid", "bool", f"{rows} x 3", f"{modalities}: holds real data"))
    columns = [
        (_code(field.name), str(field.type), "yes" if field.nullable else "no") for field in schema
    ]
    return (
        f"Row i of `{SEGMENTS}` is index i of every array of `{ARRAYS}` (Zarr v3). Times are "
        "int64 nanoseconds on the take's clock; a segment is half-open.\n\n"
        + _table(("Array", "Type", "Shape", "Content"), [(_code(a), *rest) for a, *rest in arrays])
        + "\n"
        + _table(("Column", "Type", "May be null"), columns)
    )


def _splits(manifest: Manifest) -> str:
    counts = manifest.counts
    kind = str(manifest.config.get("splits", {}).get("kind", "not told"))
    rows = [
        (split, counts.splits.get(split, 0), counts.split_participants.get(split, 0))
        for split in SPLITS
    ]
    none = counts.stored - sum(counts.splits.values())
    text = f"Kind of split: {_escape(kind)}.\n\n"
    text += _table(("Split", "Segments", "Participants"), [*rows, ("in none", none, "")])
    if counts.shared_participants:
        named = ", ".join(map(_escape, counts.shared_names)) or "not named"
        text += (
            f"\n{counts.shared_participants} participants are in more than one split, as the "
            f"dataset's own split has them: {named}.\n"
        )
    unlabelled = counts.stored - sum(counts.labels.values())
    labels = [(_escape(label), n) for label, n in sorted(counts.labels.items())]
    return text + "\n" + _table(("Label", "Segments"), [*labels, ("without one", unlabelled)])


def _creation(manifest: Manifest, origins: Mapping[str, Mapping[str, int]]) -> str:
    encoder = manifest.encoder
    size = sum(source.size for source in manifest.sources)
    text = f"Made from {len(manifest.sources)} files of {size} bytes.\n\n"
    found = [
        (_code(column), _escape(value), n)
        for column, values in origins.items()
        for value, n in sorted(values.items())
    ]
    if found:
        text += _table(("Column", "Value", "Segments"), found) + "\n"
    if encoder is None:
        text += "No encoder: nothing was embedded.\n"
    else:
        said = [
            (_code(field), "none" if value is None else _escape(str(value)))
            for field, value in encoder.model_dump(mode="json").items()
        ]
        text += _table(("Encoder", "Value"), said)
    parts = [(_code(kind), n) for kind, n in sorted(manifest.part_versions.items())]
    text += "\n" + _table(("Kind of part", "Version of its computation"), parts)
    config = json.dumps(manifest.config, indent=2, sort_keys=True, ensure_ascii=True)
    # Indented, not fenced: no value can end the block.
    return text + "\nConfig:\n\n" + "".join(f"    {line}\n" for line in config.splitlines())


def _quality(manifest: Manifest) -> str:
    if not manifest.quality:
        return "No quality column has a value.\n"
    columns = ("count", "mean", "p05", "p50", "p95", "max")
    rows = [
        (_code(name), *(f"{figures[column]:g}" for column in columns))
        for name, figures in sorted(manifest.quality.items())
    ]
    return _table(("Column", *columns), rows)


def _left_out(manifest: Manifest) -> str:
    counts = manifest.counts
    rows = [
        (what, _code(reason), n)
        for what, found in (
            ("segments dropped", counts.dropped),
            ("segments of quarantined takes", counts.quarantined),
            ("takes quarantined", counts.quarantined_takes),
            ("annotations ignored", counts.ignored),
        )
        for reason, n in sorted(found.items())
    ]
    text = (
        f"{counts.planned} segments were planned: {counts.stored} stored, "
        f"{sum(counts.dropped.values())} dropped, {sum(counts.quarantined.values())} of "
        f"quarantined takes. `{QUARANTINE}` tells each take's fault.\n"
    )
    return text + ("\n" + _table(("What", "Reason", "Count"), rows) if rows else "")


def _limits(manifest: Manifest) -> str:
    counts, encoder = manifest.counts, manifest.encoder
    said = [
        "The recordings are of people: this version falls under the licence and the privacy rules "
        "of the dataset it was made from.",
        "Windows of one take may overlap, and one window may have several sentences: see the "
        "columns `overlaps` and `same_window`.",
    ]
    if encoder is not None:
        said.append(
            f"{counts.long_sentences} sentences are longer than the encoder's "
            f"{encoder.max_tokens} tokens and were cut."
        )
        if encoder.meaning is not None:
            said.append(f"Of the encoder: {_escape(encoder.meaning)}.")
    if counts.shared_participants:
        said.append(
            f"{counts.shared_participants} participants are in more than one split: scores on "
            "test do not tell of unseen people."
        )
    return "".join(f"- {line}\n" for line in said)


def _loading(manifest: Manifest, version: str) -> str:
    lines = [
        "import pyarrow.parquet as pq",
        "import zarr",
        "",
        f'segments = pq.read_table("STORE/{version_path(version, SEGMENTS)}")',
        f'arrays = zarr.open_group("STORE/{version_path(version, ARRAYS)}", mode="r")',
        'imu, valid = arrays["imu"], arrays["valid"]',
    ]
    objective = "primus" if manifest.encoder is not None else "simclr"
    return (
        "```python\n"
        + "\n".join(lines)
        + "\n```\n\n```sh\n"
        + f"primus-train fit --store STORE@{version} --objective {objective} --out RUN\n```\n"
    )


def _count_origins(table: pq.ParquetFile, schema: pa.Schema) -> dict[str, Counter[str]]:
    """Return how many rows hold each value of the columns that say where data came from."""
    columns = [name for name in _ORIGINS if name in schema.names]
    found: dict[str, Counter[str]] = {name: Counter() for name in columns}
    for batch in table.iter_batches(batch_size=_ROWS, columns=columns):
        for name in columns:
            for pair in batch.column(name).value_counts().to_pylist():
                if pair["values"] is not None:
                    found[name][str(pair["values"])] += int(pair["counts"])
    return found


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines)


def _code(name: str) -> str:
    """Return a name as code; one that is none as text: nothing can be escaped within code."""
    return f"`{name}`" if re.fullmatch(r"[\w.-]+", name, re.ASCII) else _escape(name)


def _escape(text: str) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|~$:" else c for c in shown)
