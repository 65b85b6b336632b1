"""What a dataset folder holds and lacks, told from metadata, sizes and headers."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pipelines.datasets.base import Catalogue
from pipelines.datasets.mirror import ensure_file, file_size, held_files
from pipelines.parts.keys import find_file
from pipelines.video.probe import probe_video
from schemas.errors import TakeError
from schemas.narration import Narration
from schemas.take import Take

__all__ = ["Inventory", "Sentences", "Stock", "print_inventory", "take_inventory"]

NO_STREAM = "no_stream"
"""Reason of a take that the metadata promise no such stream for."""

_NS_PER_HOUR = 3600 * 10**9


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stock(_Closed):
    """One kind of stream over all takes of a dataset."""

    kind: str = Field(description="imu, video, or clock for further files of the take clock")
    name: str = Field(description="label of the IMU, copy of the picture; empty for clock files")
    takes: int = Field(description="takes whose files of this kind are all there")
    files: int = Field(description="different files that are there")
    bytes: int = Field(description="of those files")
    hours: float = Field(description="of those takes, as far as it can be told")


class Sentences(_Closed):
    """The narrations of one annotation set."""

    narrations: int
    takes: int = Field(description="takes that have any")
    passes: int = Field(description="annotator passes")


class Inventory(_Closed):
    """What is there, what is missing, how many bytes and hours."""

    dataset: str
    takes: int
    usable: int = Field(description="takes that metadata and file presence do not rule out")
    faults: dict[str, int] = Field(description="reason: takes it rules out")
    participants: int = Field(description="known ones")
    labels: dict[str, int] = Field(description="label: takes; none where unknown")
    task_families: dict[str, int] = Field(description="the dataset's own: takes")
    splits: dict[str, int] = Field(description="the dataset's own: takes")
    streams: tuple[Stock, ...]
    missing: dict[str, dict[str, int]] = Field(
        description="kind: reason: takes without it; the reason is the fault that rules the take "
        f"out, {NO_STREAM} where there is none"
    )
    unreadable: dict[str, int] = Field(description="reason: takes whose files could not be opened")
    bytes: int = Field(description="of all files, each counted once")
    hours: float
    hours_unknown: int = Field(description="usable takes whose length no metadata or header says")
    narrations: dict[str, Sentences] = Field(description="by annotation set")
    ignored: dict[str, int] = Field(description="reason: annotations that are not used")


def take_inventory(
    catalogue: Catalogue,
    *,
    dataset: str,
    root: Path,
    follow_links: bool = False,
    read_length: Callable[[Take], int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Inventory:
    """Return what a catalogue's takes have; nothing is decoded.

    A take is as long as its metadata say, else as its video's header; a usable one with neither
    is as long as ``read_length`` says.

    Args:
        catalogue: of any reader.
        dataset: name of the dataset.
        root: of the dataset.
        follow_links: files outside of it count where links lead to them.
        read_length: gives the length in ns of a take without picture, by its sensor's stamps; may
            raise ``TakeError``. Without it such takes are of unknown length.
        progress: called with the takes looked at so far.
    """
    shelves: defaultdict[tuple[str, str], _Shelf] = defaultdict(_Shelf)
    missing: defaultdict[str, Counter[str]] = defaultdict(Counter)
    unreadable: Counter[str] = Counter()
    sizes: dict[str, int] = {}
    total_ns = unknown = 0
    for done, take in enumerate(catalogue.takes, start=1):
        fault = catalogue.faults.get(take.take_uid)
        found: list[_Shelf] = []
        video: list[Path] = []
        for kind, name, paths in _streams(take):
            try:
                here = {path: find_file(root, path, follow_links=follow_links) for path in paths}
            except TakeError as error:
                missing[kind][error.code if fault is None else fault.code] += 1
                continue
            if not here:
                missing[kind][NO_STREAM if fault is None else fault.code] += 1
                continue
            sizes.update({path: file_size(root, file) for path, file in here.items()})
            shelf = shelves[kind, name]
            shelf.paths.update(here)
            found.append(shelf)
            if kind == "video":
                video = list(here.values())
        try:
            with held_files(root):
                length_ns = take.duration_ns or _header_ns(root, video)
                if length_ns is None and found and fault is None and read_length is not None:
                    length_ns = read_length(take)
        except TakeError as error:
            unreadable[error.code] += 1
            length_ns = None
        for shelf in found:
            shelf.takes += 1
            shelf.length_ns += length_ns or 0
        if fault is None:
            total_ns += length_ns or 0
            unknown += length_ns is None
        if progress is not None:
            progress(done)
    takes = catalogue.takes
    return Inventory(
        dataset=dataset,
        takes=len(takes),
        usable=sum(take.take_uid not in catalogue.faults for take in takes),
        faults=_sorted(Counter(fault.code for fault in catalogue.faults.values())),
        participants=len({t.participant for t in takes if t.participant is not None}),
        labels=_sorted(Counter(take.label or "none" for take in takes)),
        task_families=_sorted(Counter(t.task_family for t in takes if t.task_family)),
        splits=_sorted(Counter(catalogue.official_split.values())),
        streams=tuple(
            Stock(
                kind=kind,
                name=name,
                takes=shelf.takes,
                files=len(shelf.paths),
                bytes=sum(sizes[path] for path in shelf.paths),
                hours=_hours(shelf.length_ns),
            )
            for (kind, name), shelf in sorted(shelves.items())
        ),
        missing={kind: _sorted(reasons) for kind, reasons in sorted(missing.items())},
        unreadable=_sorted(unreadable),
        bytes=sum(sizes.values()),
        hours=_hours(total_ns),
        hours_unknown=unknown,
        narrations=_count_sentences(catalogue.narrations),
        ignored=_sorted(catalogue.ignored),
    )


def print_inventory(inventory: Inventory) -> str:
    """Return the inventory as a table and some lines, for a person."""
    rows = [("stream", "takes", "files", "size", "h:mm:ss")]
    for stock in inventory.streams:
        name = f"{stock.kind} {stock.name}".strip()
        takes = f"{stock.takes} of {inventory.takes}"
        size = _size(stock.bytes)
        rows.append((name, takes, str(stock.files), size, _clock_time(stock.hours)))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    table = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
    unknown = f", {inventory.hours_unknown} takes of unknown length" * bool(inventory.hours_unknown)
    lines = [
        f"{inventory.dataset}: {inventory.takes} takes, {inventory.usable} usable, "
        f"{_clock_time(inventory.hours)} (h:mm:ss){unknown}, {_size(inventory.bytes)}, "
        f"{inventory.participants} participants",
        "",
        *table,
        "",
        *(f"missing {kind}: {_listed(reasons)}" for kind, reasons in inventory.missing.items()),
    ]
    for name, counts in (
        ("unreadable", inventory.unreadable),
        ("ruled out", inventory.faults),
        ("labels", inventory.labels),
        ("task families", inventory.task_families),
        ("official splits", inventory.splits),
        ("ignored annotations", inventory.ignored),
    ):
        if counts:
            lines.append(f"{name}: {_listed(counts)}")
    for source, found in inventory.narrations.items():
        lines.append(
            f"narrations of {source}: {found.narrations} in {found.takes} takes, "
            f"{found.passes} passes"
        )
    return "\n".join(lines)


class _Shelf:
    """What has been found of one kind of stream."""

    def __init__(self) -> None:
        self.takes = 0
        self.length_ns = 0
        self.paths: set[str] = set()


def _streams(take: Take) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield kind, name and files of what a take should have; no files where it has none."""
    imu, video = take.imu, take.video
    yield ("imu", imu.label, (imu.path, *imu.later_paths)) if imu else ("imu", "", ())
    yield ("video", video.variant, (video.path, *video.later_paths)) if video else ("video", "", ())
    if take.clock_paths:
        yield "clock", "", take.clock_paths


def _header_ns(root: Path, files: list[Path]) -> int | None:
    for file in files:
        ensure_file(root, file)
    return sum(probe_video(file).duration_ns for file in files) if files else None


def _count_sentences(narrations: Mapping[str, tuple[Narration, ...]]) -> dict[str, Sentences]:
    counts: Counter[str] = Counter()
    takes: defaultdict[str, set[str]] = defaultdict(set)
    passes: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for uid, sentences in narrations.items():
        for sentence in sentences:
            counts[sentence.text_source] += 1
            takes[sentence.text_source].add(uid)
            passes[sentence.text_source].add((uid, sentence.pass_uid))
    return {
        source: Sentences(narrations=n, takes=len(takes[source]), passes=len(passes[source]))
        for source, n in sorted(counts.items())
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}


def _hours(length_ns: int) -> float:
    return round(length_ns / _NS_PER_HOUR, 6)


def _clock_time(hours: float) -> str:
    minutes, seconds = divmod(round(hours * 3600), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, bigger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
