"""Plain GoPro clips: a folder of mp4 files with their own metadata track, and caption files.

Each recording is a take: a clip, or the chapters that the camera cut it into. Its sentences stand
in a WebVTT, SRT or CSV file of the same name beside each file, on that file's own clock; a sentence
is dated by the middle of its cue. The picture and the metadata track share the clip's clock, to
about a frame.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.datasets.gopro_chapters import group_chapters
from pipelines.datasets.json_fields import is_text
from pipelines.datasets.narrations import narration_order, wanted_sources
from pipelines.datasets.rooted import RootedReader
from pipelines.imu.gpmf import GPMF_STREAM
from pipelines.imu.gpmf_chapters import open_gpmf_chapters, read_chapters_span
from pipelines.text.captions import Captions, read_captions
from pipelines.text.narration_csv import read_narration_csv
from pipelines.video.chapters import Chapter, probe_chapters
from schemas.errors import SchemaError, TakeError, UsageError
from schemas.narration import Narration
from schemas.take import ImuStream, Take, VideoStream
from schemas.time import NS_PER_S, Interval

__all__ = ["GoProReader"]

# The first that exists is read; text.sources may leave some out.
_CAPTIONS: Final = {".vtt": "webvtt", ".srt": "srt", ".csv": "csv"}


class GoProReader(RootedReader):
    """Reads a folder of GoPro clips, its subfolders included."""

    name = "gopro"

    def read_catalogue(self) -> Catalogue:
        """Return a take for every recording, and the narrations of the caption files.

        ``take_uid`` is the first 16 hex digits of the SHA-256 of its first file's relative path.
        A caption file that cannot be read is its take's fault; broken cues are counted in
        ``ignored``. Videos are not opened, but for the headers of chapters whose later ones have
        caption files.

        Raises:
            UsageError: if the folder is not there, holds no clip, or another copy of the picture
                than the clip itself, or other sources of text, are asked for.
        """
        root = self._check_root("a folder of mp4 clips")
        self._wanted_variants("full")
        wanted = wanted_sources(self._text, known=tuple(_CAPTIONS.values()), dataset=self.name)
        suffixes = tuple(suffix for suffix, source in _CAPTIONS.items() if source in wanted)
        found = _list_files(root, follow_links=self._config.follow_links)
        files = {path.relative_to(root).as_posix(): path for path in found}
        clips = [name for name in files if _is_clip(files[name])]
        if not clips:
            raise UsageError(f"dataset.root must hold mp4 clips, got none in {root}")
        if strange := sorted(ascii(name) for name in clips if not is_text(name)):
            raise UsageError(f"clips must have names in UTF-8, got {', '.join(strange)} in {root}")
        takes: list[Take] = []
        narrations: dict[str, tuple[Narration, ...]] = {}
        faults: dict[str, TakeError] = {}
        ignored: dict[str, int] = {}
        for chapters in group_chapters(clips):
            take = self._make_take(chapters)
            takes.append(take)
            try:
                paths = [self._located(chapter) for chapter in chapters]
                named = [files[chapter] for chapter in chapters]
                sentences, broken = _read_narrations(
                    named,
                    paths=paths,
                    suffixes=suffixes,
                    check=lambda file: self._file(file.relative_to(root).as_posix()),
                )
            except TakeError as error:
                faults[take.take_uid] = error
                continue
            if sentences:
                narrations[take.take_uid] = sentences
            for reason, count in broken.items():
                ignored[reason] = ignored.get(reason, 0) + count
        return Catalogue(
            takes=tuple(sorted(takes, key=lambda take: take.take_uid)),
            narrations=narrations,
            faults=faults,
            ignored=ignored,
        )

    def read_clock(self, take: Take) -> TakeClock:
        """Return the take's clock: the clip's own from its first frame, uncertain by one frame.

        The take spans what picture and sensors have in common: the sensors start some ms off.

        Raises:
            TakeError: as ``probe_video``, ``imu_missing``, or as ``open_gpmf_imu``.
        """
        chapters = self._chapters(take)
        sensed = read_chapters_span(chapters)
        start_ns, end_ns = max(0, sensed.start_ns), min(chapters[-1].end_ns, sensed.end_ns)
        if end_ns <= start_ns:
            raise TakeError(
                "imu_missing", f"IMU and picture must run at one time [{take.take_name}]"
            )
        span = Interval(start_ns, end_ns)
        return TakeClock.identity(span, uncertainty_ns=round(NS_PER_S / chapters[0].probe.rate))

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        """Open the recording's metadata tracks, stamps counted from its first video frame.

        Raises:
            TakeError: as ``open_gpmf_chapters``, here or from the runs.
        """
        del clock  # the identity: picture and metadata are stamped by one clock
        return open_gpmf_chapters(
            self._chapters(take), accept_sensor_frame=self._imu.accept_sensor_frame
        )

    def _chapters(self, take: Take) -> tuple[Chapter, ...]:
        if take.video is None:
            raise TakeError("video_missing", f"take must have a clip [{take.take_name}]")
        return probe_chapters([self._file(path) for path in take.video.paths])

    def _make_take(self, chapters: tuple[str, ...]) -> Take:
        clip, *later = chapters
        return Take(
            dataset=self.name,
            take_uid=sha256(clip.encode()).hexdigest()[:16],
            take_name=Path(clip).stem,
            participant=None,
            label=None,
            video=VideoStream(path=clip, variant="full", later_paths=tuple(later)),
            imu=ImuStream(path=clip, label=GPMF_STREAM, later_paths=tuple(later)),
        )


def _list_files(root: Path, *, follow_links: bool) -> Iterator[Path]:
    seen: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=follow_links):
        real = os.path.realpath(folder)
        if real in seen:
            # A link to a folder above: its files have been told already.
            below.clear()
            continue
        seen.add(real)
        yield from (Path(folder, name) for name in names)


def _is_clip(path: Path) -> bool:
    # Names with a leading dot are other systems' side files.
    return path.suffix.lower() == ".mp4" and not path.name.startswith(".") and path.is_file()


def _read_narrations(
    clips: Sequence[Path],
    *,
    paths: Sequence[Path],
    suffixes: Sequence[str],
    check: Callable[[Path], object],
) -> tuple[tuple[Narration, ...], dict[str, int]]:
    """Return a recording's narrations by time, and how many cues were no use, by reason.

    Args:
        clips: its files, as the folder names them: captions lie beside these.
        paths: the same files, links resolved.
        suffixes: of the files to read, the first that exists.
        check: raises for a file that may not be read.

    Raises:
        TakeError: ``captions_unreadable``; as ``check``; as ``probe_chapters`` where later chapters
            have some.
    """
    found = {k: file for k, clip in enumerate(clips) if (file := _find_captions(clip, suffixes))}
    narrations: list[Narration] = []
    broken: dict[str, int] = {}
    # Only a chapter's own sentences need to know when it starts.
    later = max(found, default=0)
    for clip in clips[: later + 1] if later else ():
        check(clip)
    starts_ns = [c.start_ns for c in probe_chapters(paths[: later + 1])] if later else [0]
    for k, file in found.items():
        check(file)
        captions = _open_captions(file)
        narrations.extend(_as_narrations(captions, file=file, start_ns=starts_ns[k]))
        for problem in captions.problems:
            reason = f"caption_{problem.kind}"
            broken[reason] = broken.get(reason, 0) + 1
    narrations.sort(key=narration_order)
    return tuple(narrations), broken


def _find_captions(clip: Path, suffixes: Sequence[str]) -> Path | None:
    found = {
        path.suffix.lower(): path
        for path in sorted(clip.parent.iterdir())
        if path.stem == clip.stem and path.suffix.lower() in suffixes and path.is_file()
    }
    return next((found[suffix] for suffix in suffixes if suffix in found), None)


def _open_captions(path: Path) -> Captions:
    read = read_narration_csv if path.suffix.lower() == ".csv" else read_captions
    try:
        return read(path)
    except (SchemaError, OSError) as error:
        raise TakeError(
            "captions_unreadable", f"captions must be readable, got {error} [{path.name}]"
        ) from error


def _as_narrations(captions: Captions, *, file: Path, start_ns: int) -> list[Narration]:
    return [
        Narration(
            narration_ns=start_ns + (cue.start_ns + cue.end_ns) // 2,
            text_raw=cue.text,
            text="",
            text_source=_CAPTIONS[file.suffix.lower()],
            pass_uid=file.name,
        )
        for cue in captions.cues
    ]
