"""Where a version comes from, as one record: from its source files to the machine that made it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.embedding import EmbeddingSpec
from schemas.manifest import Counts, Manifest, RunRecord, SourceEntry
from schemas.mask import MaskRecord
from schemas.provenance import CodeRecord, public_uri

__all__ = [
    "Lineage",
    "MadeBy",
    "Source",
    "TagEvent",
    "code_branches",
    "lineage_branches",
    "make_lineage",
    "print_lineage",
    "print_tree",
]

_SHOWN = 5
"""Source files that the text names; the record has them all."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(SourceEntry):
    """One file a version was made from, with the entity tag it had in an object store."""

    etag: str | None = None


class TagEvent(_Closed):
    """A tag came to name a version, or left it for another."""

    tag: str
    at_ns: int = Field(description="Unix time, ns")
    version: str = Field(description="what the tag named from then on")
    previous: str | None = Field(description="what it named before")


class MadeBy(_Closed):
    """The run that made a version: no part of the version's identity."""

    made_at: str = Field(description="UTC, ISO 8601")
    executor: str
    workers: int
    computed_takes: int
    reused_takes: int
    seconds: dict[str, float] = Field(description="wall seconds by stage")
    code: CodeRecord
    dataset_root: str
    parts_uri: str
    parts: int = Field(ge=0, description="parts it was assembled from")


class Lineage(_Closed):
    """What a version was made from, by what, and what names it."""

    store: str | None = Field(description="URI without credentials; None where it is not told")
    version: str
    manifest_sha256: str | None = Field(description="by the run record")
    format_version: int
    dataset: str
    config: dict[str, Any]
    sources: tuple[Source, ...]
    encoder: EmbeddingSpec | None
    part_versions: dict[str, int]
    counts: Counts
    made_by: MadeBy | None = Field(description="None where no run record was at hand")
    masks: tuple[MaskRecord, ...] = ()
    tags: tuple[str, ...] | None = Field(description="that name it now; None where not looked up")
    tag_history: tuple[TagEvent, ...] = Field(
        default=(), description="by time: tags that came to it or left it"
    )


def make_lineage(
    manifest: Manifest,
    *,
    version: str,
    record: RunRecord | None,
    store: str | None,
    masks: Sequence[MaskRecord] = (),
    tags: Sequence[str] | None = None,
    tag_history: Sequence[TagEvent] = (),
) -> Lineage:
    """Return the lineage that a version's own files tell.

    Args:
        manifest: what the version is.
        version: its id.
        record: how it came to be, where that is at hand.
        store: its URI; credentials in it are left out.
        masks: bound to it.
        tags: that name it now, where they were looked up.
        tag_history: events of it alone.
    """
    etags = record.etags if record is not None else {}
    return Lineage(
        store=None if store is None else public_uri(store),
        version=version,
        manifest_sha256=None if record is None else record.manifest_sha256,
        format_version=manifest.format_version,
        dataset=manifest.dataset,
        config=manifest.config,
        sources=tuple(
            Source(**source.model_dump(), etag=etags.get(source.path))
            for source in manifest.sources
        ),
        encoder=manifest.encoder,
        part_versions=manifest.part_versions,
        counts=manifest.counts,
        made_by=None if record is None else _made_by(record),
        masks=tuple(masks),
        tags=None if tags is None else tuple(tags),
        tag_history=tuple(tag_history),
    )


def _made_by(record: RunRecord) -> MadeBy:
    return MadeBy(
        made_at=record.made_at,
        executor=record.executor,
        workers=record.workers,
        computed_takes=record.computed_takes,
        reused_takes=record.reused_takes,
        seconds=record.seconds,
        code=CodeRecord(
            commit=record.commit,
            dirty=record.dirty,
            container_digest=record.container_digest,
            python=record.python,
            platform=record.platform,
            host=record.host,
            packages=record.packages,
        ),
        dataset_root=record.dataset_root,
        parts_uri=record.parts_uri,
        parts=sum(len(keys) for keys in record.parts.values()),
    )


def print_lineage(lineage: Lineage) -> str:
    """Return a lineage as a tree for people."""
    name = lineage.version if lineage.store is None else f"{lineage.store}@{lineage.version}"
    return print_tree(name, lineage_branches(lineage))


def lineage_branches(lineage: Lineage) -> dict[str, Any]:
    """Return a lineage as nested words for :func:`print_tree`."""
    counts, made = lineage.counts, lineage.made_by
    total = sum(source.size for source in lineage.sources)
    sources = {
        source.path: f"{source.size} bytes, fingerprint {source.fingerprint[:16]}"
        + (f", etag {source.etag}" if source.etag is not None else "")
        for source in lineage.sources[:_SHOWN]
    }
    left = len(lineage.sources) - _SHOWN
    if left > 0:
        sources[f"and {left} more"] = "--json names them all"
    branches: dict[str, Any] = {}
    if lineage.tags is not None:
        branches["tags"] = ", ".join(lineage.tags) or "none"
        branches["tag history"] = {
            f"{_utc(event.at_ns)} {event.tag}": f"{event.previous or 'new'} -> {event.version}"
            for event in lineage.tag_history
        }
    branches |= {
        f"dataset {lineage.dataset}": {
            "segments": f"{counts.stored} of {counts.planned} planned, from {counts.takes} takes",
            f"sources: {len(lineage.sources)} files, {total} bytes": sources,
        },
        "config": lineage.config,
        "encoder": "none" if lineage.encoder is None else lineage.encoder.model_dump(mode="json"),
        "part versions": lineage.part_versions,
    }
    if made is None:
        branches["made by"] = "not told: no run record at hand"
    else:
        branches["made by"] = {
            "at": made.made_at,
            "executor": f"{made.executor}, {made.workers} workers",
            "takes": f"{made.computed_takes} computed, {made.reused_takes} reused",
            "seconds": f"{made.seconds.get('total', sum(made.seconds.values())):.1f}",
            "code": code_branches(made.code),
            "dataset root": made.dataset_root,
            "parts": f"{made.parts} in {made.parts_uri}",
        }
    for mask in lineage.masks:
        branches[f"mask {mask.spec.name}"] = {
            **mask.spec.model_dump(mode="json", exclude={"name"}),
            "kept": f"{mask.kept_rows} of {mask.rows} train rows",
            "sha256": mask.sha256,
        }
    return branches


def code_branches(code: CodeRecord) -> dict[str, Any]:
    """Return what ran as nested words for :func:`print_tree`."""
    state = {True: ", with changes not committed", False: "", None: ""}[code.dirty]
    return {
        "commit": f"{code.commit or 'not told'}{state}",
        "container": code.container_digest or "not told",
        "python": f"{code.python} on {code.platform}",
        "host": code.host or "not told",
        "packages": ", ".join(f"{name} {at}" for name, at in sorted(code.packages.items())),
    }


def _utc(at_ns: int) -> str:
    seconds, left = divmod(at_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{left:09d}Z"


def print_tree(root: str, branches: Mapping[str, Any]) -> str:
    """Return nested mappings and sequences as an indented tree, one line a leaf.

    Args:
        root: first line.
        branches: name: text, number, mapping of the same kind, or sequence.
    """
    return "\n".join([_line(root), *_lines(branches, indent="")])


def _lines(branches: Mapping[str, Any], *, indent: str) -> list[str]:
    lines: list[str] = []
    last = len(branches) - 1
    for place, (name, value) in enumerate(branches.items()):
        branch, below = ("└─ ", "   ") if place == last else ("├─ ", "│  ")
        if isinstance(value, list | tuple):
            inner = {str(i): item for i, item in enumerate(value)}
            plain = not any(isinstance(item, Mapping | list | tuple) for item in value)
            value = ", ".join(map(str, value)) or "none" if plain else inner
        if isinstance(value, Mapping) and value:
            lines.append(_line(f"{indent}{branch}{name}"))
            lines.extend(_lines(value, indent=indent + below))
        else:
            shown = "none" if value is None or isinstance(value, Mapping) else value
            lines.append(_line(f"{indent}{branch}{name}: {shown}"))
    return lines


def _line(text: str) -> str:
    # File names of a dataset may hold line breaks and terminal codes.
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
