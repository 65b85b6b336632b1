"""One recording that its camera cut into several files, read as one video.

Cameras begin a new file every few gigabytes without losing a frame. The first frame of a chapter
stands at the sum of the durations, by their picture tracks, of the chapters before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipelines.video.decode import Decoder, VideoReader, open_video
from pipelines.video.probe import VideoProbe, probe_video
from schemas.errors import TakeError

__all__ = ["Chapter", "ChapteredReader", "open_chapters", "probe_chapters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One file of a recording.

    Attributes:
        path: file.
        start_ns: of its first frame, counted from the first frame of the recording.
        probe: what its header says.
    """

    path: Path
    start_ns: int
    probe: VideoProbe

    @property
    def end_ns(self) -> int:
        """Where the next chapter starts."""
        return self.start_ns + self.probe.duration_ns


def probe_chapters(paths: Sequence[Path]) -> tuple[Chapter, ...]:
    """Read the headers of a recording's files, in order.

    Raises:
        TakeError: as ``probe_video``.
    """
    chapters: list[Chapter] = []
    for path in paths:
        start_ns = chapters[-1].end_ns if chapters else 0
        chapters.append(Chapter(path=path, start_ns=start_ns, probe=probe_video(path)))
    return tuple(chapters)


@dataclass(slots=True, kw_only=True)
class ChapteredReader:
    """A recording of several files, opened; used like a ``VideoReader``.

    Attributes:
        path: first file.
        decoder: who decoded the frames given last.
        pts_ns: (F,) int64, strictly increasing presentation times over all files, 0 = first frame.
    """

    path: Path
    decoder: Decoder
    pts_ns: npt.NDArray[np.int64]
    _readers: tuple[VideoReader, ...]

    def __len__(self) -> int:
        return len(self.pts_ns)

    def read(
        self,
        indices: npt.NDArray[np.int64],
        *,
        chunk: int = 32,
        short_side: int | None = None,
        threads: int = 1,
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the frames at ``indices`` as RGB (n, h, w, 3), n at most ``chunk``.

        Frames of two files never share a chunk.

        Args:
            indices: (N,) int64, strictly increasing places in the whole recording.
            chunk: frames held in memory at once.
            short_side: as for ``VideoReader.read``.
            threads: the same.

        Raises:
            ValueError: if the indices do not increase or lie outside the recording.
            TakeError: ``video_undecodable`` if any wanted frame cannot be decoded.
        """
        if len(indices) and (
            int(indices[0]) < 0
            or int(indices[-1]) >= len(self)
            or (len(indices) > 1 and int(np.diff(indices).min()) <= 0)
        ):
            raise ValueError(f"indices must increase strictly within [0, {len(self)})")
        first = 0
        for reader in self._readers:
            here = indices[(indices >= first) & (indices < first + len(reader))]
            for frames in reader.read(
                here - first, chunk=chunk, short_side=short_side, threads=threads
            ):
                self.decoder = reader.decoder
                yield frames
            first += len(reader)


def open_chapters(
    paths: Sequence[Path],
    *,
    decoder: Literal["auto", "decord", "pyav"],
    hardware: Literal["auto", "none"] = "none",
) -> VideoReader | ChapteredReader:
    """Open a recording of one file or more and read its frames' times.

    Args:
        paths: files, in order; at least one.
        decoder: as for ``open_video``.
        hardware: the same.

    Raises:
        TakeError: as ``open_video`` and ``probe_chapters``; ``video_chapters_overlap`` if a file
            holds frames past the end that its header declares.
    """
    if len(paths) == 1:
        return open_video(paths[0], decoder=decoder, hardware=hardware)
    chapters = probe_chapters(paths)
    readers = tuple(open_video(path, decoder=decoder, hardware=hardware) for path in paths)
    for chapter, reader in zip(chapters[:-1], readers[:-1], strict=True):
        if int(reader.pts_ns[-1]) >= chapter.probe.duration_ns:
            raise TakeError(
                "video_chapters_overlap",
                f"chapter must end after its last frame at {int(reader.pts_ns[-1])} ns, "
                f"got a duration of {chapter.probe.duration_ns} ns [{chapter.path.name}]",
            )
    times = [r.pts_ns + c.start_ns for r, c in zip(readers, chapters, strict=True)]
    return ChapteredReader(
        path=paths[0],
        decoder=readers[0].decoder,
        pts_ns=np.concatenate(times),
        _readers=readers,
    )
