"""What differs between two versions: how they were made, and their takes, segments and values."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from pipelines.storage.files import local_copy
from pipelines.storage.places import Place
from pipelines.stores.array_files import read_chunk_file
from pipelines.stores.arrays import array_layout
from pipelines.stores.row_merge import merge_rows
from pipelines.stores.sealed import read_manifest
from schemas.manifest import Manifest
from schemas.store import ARRAYS, ROWS_PER_CHUNK, SEGMENTS, version_path

__all__ = ["Changed", "Names", "SegmentDiff", "VersionDiff", "diff_versions", "print_diff"]

_EXAMPLES: Final = 20
_COMPARED: Final = ("imu", "video", "text")


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Changed(_Closed):
    """A field in both; None where one side lacks it."""

    a: Any
    b: Any


class Names(_Closed):
    """Names that B has more, fewer, or with other content."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class SegmentDiff(_Closed):
    """Rows by segment_id."""

    same: int = Field(description="in both, equal in every column and array")
    added: int
    removed: int
    changed: int = Field(description="in both, with other values")
    columns: dict[str, int] = Field(
        description="column, or array as arrays/NAME: rows in both that differ in it"
    )
    examples: Names = Field(description="the first segment_ids of each kind, 20 at most")


class VersionDiff(_Closed):
    """What B has otherwise than A."""

    a: str
    b: str
    equal: bool = Field(description="whether both are the same version")
    manifest: dict[str, Changed] = Field(
        description="dotted field of config, encoder, imu, part_versions, counts or format_version"
    )
    sources: Names = Field(description="files as TAKE_UID:PATH")
    takes: Names
    columns: Names = Field(description="of the segment table, and arrays/NAME; changed: their type")
    segments: SegmentDiff


def diff_versions(a: tuple[Place, str], b: tuple[Place, str]) -> VersionDiff:
    """Compare two versions, of one store or of two.

    Rows are merged block by block, and arrays read only where their files differ: memory is bounded
    by two chunks of each array, and the names of takes and sources.

    Args:
        a: place of a store and id of the version that is compared with.
        b: the same of the other.

    Raises:
        StoreNotFoundError: if a version is not there.
        StoreDamagedError: if a manifest is not the one its id names.
    """
    manifests = (read_manifest(*a), read_manifest(*b))
    fields, sources = _compare_manifests(*manifests), _compare_sources(*manifests)
    if a[1] == b[1]:
        stored = manifests[0].counts.stored
        segments = SegmentDiff(
            same=stored, added=0, removed=0, changed=0, columns={}, examples=Names()
        )
        columns = takes = Names()
    else:
        columns, takes, segments = _compare_rows(a, b, manifests=manifests)
    return VersionDiff(
        a=f"{a[0]}@{a[1]}",
        b=f"{b[0]}@{b[1]}",
        equal=a[1] == b[1],
        manifest=fields,
        sources=sources,
        takes=takes,
        columns=columns,
        segments=segments,
    )


def _compare_manifests(a: Manifest, b: Manifest) -> dict[str, Changed]:
    flat = [
        dict(_flatten(manifest.model_dump(mode="json", exclude={"sources", "objects", "quality"})))
        for manifest in (a, b)
    ]
    return {
        name: Changed(a=flat[0].get(name), b=flat[1].get(name))
        for name in sorted(flat[0].keys() | flat[1].keys())
        if flat[0].get(name) != flat[1].get(name)
    }


def _flatten(value: Mapping[str, Any], *, before: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flatten(inner, before=f"{before}{key}.")
        else:
            yield f"{before}{key}", inner


def _compare_sources(a: Manifest, b: Manifest) -> Names:
    one, other = (
        {f"{s.take_uid}:{s.path}": (s.size, s.fingerprint) for s in manifest.sources}
        for manifest in (a, b)
    )
    return _names(one, other)


def _names(one: Mapping[str, Any], other: Mapping[str, Any]) -> Names:
    return Names(
        added=tuple(sorted(other.keys() - one.keys())),
        removed=tuple(sorted(one.keys() - other.keys())),
        changed=tuple(sorted(n for n in one.keys() & other.keys() if one[n] != other[n])),
    )


def _compare_rows(
    a: tuple[Place, str], b: tuple[Place, str], *, manifests: tuple[Manifest, Manifest]
) -> tuple[Names, Names, SegmentDiff]:
    folders = [store / version_path(version) for store, version in (a, b)]
    with local_copy(folders[0] / SEGMENTS) as one, local_copy(folders[1] / SEGMENTS) as other:
        types = [{n: str(t) for n, t in pl.read_parquet_schema(p).items()} for p in (one, other)]
        layouts = [array_layout(m.imu, encoder=m.encoder) for m in manifests]
        for known, layout in zip(types, layouts, strict=True):
            known |= {f"arrays/{name}": f"{dtype} {row}" for name, (dtype, row) in layout.items()}
        columns = _names(*types)
        shared = [n for n in types[0] if types[1].get(n) == types[0][n] and "/" not in n]
        arrays = [
            (_Rows(folders[0], name, layouts[0][name]), _Rows(folders[1], name, layouts[1][name]))
            for name in _COMPARED
            if types[0].get(f"arrays/{name}", "") == types[1].get(f"arrays/{name}")
            and _chunks(manifests[0], name) != _chunks(manifests[1], name)
        ]
        count = _Count()
        for merged in merge_rows(one, other, rows=ROWS_PER_CHUNK):
            count.add_only(*merged.only)
            left, right = merged.both
            if len(left):
                unlike = {
                    n: left[n].ne_missing(right[n]).to_numpy() for n in shared if n != "segment_id"
                }
                for first, second in arrays:
                    unlike[f"arrays/{first.name}"] = first.unlike(
                        second, rows=(left["row"].to_numpy(), right["row"].to_numpy())
                    )
                count.add_both(left, unlike=unlike)
    return columns, count.takes(), count.segments()


def _chunks(manifest: Manifest, name: str) -> list[tuple[str, str]]:
    before = f"{ARRAYS}/{name}/c/"
    rows = str(manifest.counts.stored)
    return [(rows, e.sha256) for e in manifest.objects if e.path.startswith(before)]


class _Rows:
    """Rows of an array, read chunk by chunk in ascending order."""

    def __init__(self, folder: Place, name: str, layout: tuple[str, tuple[int, ...]]) -> None:
        self.name = name
        self._folder = folder
        self._dtype, self._row = layout
        self._number, self._chunk = -1, np.zeros(0)

    def unlike(
        self, other: "_Rows", *, rows: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.bool_]:
        """Return which of the pairs of rows (N,) differ in any value."""
        one, two = self._read(rows[0]), other._read(rows[1])
        differs: npt.NDArray[np.bool_] = (one != two).any(axis=1)
        return differs

    def _read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        found = []
        for number in np.unique(rows // ROWS_PER_CHUNK).tolist():
            if number != self._number:
                self._chunk = read_chunk_file(
                    self._folder, self.name, number, dtype=self._dtype, row=self._row
                )
                self._number = number
            here = rows[rows // ROWS_PER_CHUNK == number] - number * ROWS_PER_CHUNK
            found.append(self._chunk[here].reshape(len(here), -1))
        return np.concatenate(found)


class _Count:
    def __init__(self) -> None:
        self._only: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        """Rows by take."""
        self._both: Counter[str] = Counter()
        self._unlike: Counter[str] = Counter()
        self._columns: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}

    def add_only(self, left: pl.DataFrame, right: pl.DataFrame) -> None:
        for counter, rows, kind in zip(
            self._only, (left, right), ("removed", "added"), strict=True
        ):
            counter.update(rows["take_uid"].to_list())
            self._note(kind, rows["segment_id"])

    def add_both(self, rows: pl.DataFrame, *, unlike: Mapping[str, npt.NDArray[np.bool_]]) -> None:
        self._both.update(rows["take_uid"].to_list())
        self._columns.update({name: int(flags.sum()) for name, flags in unlike.items()})
        changed = rows.filter(pl.Series(np.logical_or.reduce(list(unlike.values()))))
        self._unlike.update(changed["take_uid"].to_list())
        self._note("changed", changed["segment_id"])

    def _note(self, kind: str, ids: pl.Series) -> None:
        self._examples[kind] += ids.head(_EXAMPLES - len(self._examples[kind])).to_list()

    def takes(self) -> Names:
        gone, new = self._only
        here, there = gone.keys() | self._both.keys(), new.keys() | self._both.keys()
        touched = (gone.keys() | new.keys() | self._unlike.keys()) & here & there
        return Names(
            added=tuple(sorted(there - here)),
            removed=tuple(sorted(here - there)),
            changed=tuple(sorted(touched)),
        )

    def segments(self) -> SegmentDiff:
        changed = self._unlike.total()
        return SegmentDiff(
            same=self._both.total() - changed,
            added=self._only[1].total(),
            removed=self._only[0].total(),
            changed=changed,
            columns={name: n for name, n in sorted(self._columns.items()) if n},
            examples=Names(**{kind: tuple(ids) for kind, ids in self._examples.items()}),
        )


def print_diff(diff: VersionDiff) -> str:
    """Return a diff for a person."""
    lines = [f"a: {diff.a}", f"b: {diff.b}"]
    if diff.equal:
        return "\n".join([*lines, "the same version"])
    if diff.manifest:
        lines.append("made otherwise:")
        lines += [f"  {name}: {_said(c.a)} -> {_said(c.b)}" for name, c in diff.manifest.items()]
    for what in ("sources", "takes", "columns"):
        names: Names = getattr(diff, what)
        lines += [
            f"{what} {kind}: {len(found)} ({_listed(found)})" for kind, found in names if found
        ]
    rows = diff.segments
    lines.append(
        f"segments: {rows.same} same, {rows.added} added, {rows.removed} removed, "
        f"{rows.changed} changed"
    )
    lines += [f"  {name} differs in {n}" for name, n in rows.columns.items()]
    lines += [f"  {kind}: {_listed(found)}" for kind, found in rows.examples if found]
    return "\n".join(lines)


def _said(value: object) -> str:
    return "none" if value is None else str(value)


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, ..." if len(names) > 5 else shown
