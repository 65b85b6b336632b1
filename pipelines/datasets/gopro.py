"""Plain GoPro clips: a folder of mp4 files with their own metadata track, and caption files.

Each clip is a take. Its sentences stand in a WebVTT or SRT file of the same name beside it; a
sentence is dated by the middle of its cue. The picture and the metadata track share the clip's
clock, to about a frame.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final

from pipelines.align.clock import TakeClock
from pipelines.config import DatasetConfig, ImuConfig, VideoConfig
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.imu.gpmf import GPMF_STREAM, open_gpmf_imu, read_gpmf_span
from pipelines.parts.keys import take_path
from pipelines.text.captions import Captions, read_captions
from pipelines.video.probe import probe_video
from schemas.errors import SchemaError, TakeError, UsageError
from schemas.narration import Narration
from schemas.take import ImuStream, Take, VideoStream
from schemas.time import NS_PER_S, Interval

__all__ = ["GoProReader"]

# The first that exists is read.
_CAPTIONS: Final = {".vtt": "webvtt", ".srt": "srt"}


class GoProReader:
    """Reads a folder of GoPro clips, its subfolders included."""

    name = "gopro"

    def __init__(self, config: DatasetConfig, *, imu: ImuConfig, video: VideoConfig) -> None:
        self._config = config
        self._imu = imu
        self._video = video

    def read_catalogue(self) -> Catalogue:
        """Return a take for every mp4 file, and the narrations of the caption files.

        ``take_uid`` is the first 16 hex digits of the SHA-256 of the relative path. A caption file
        that cannot be read is its take's fault; broken cues are counted in ``ignored``.

        Raises:
            UsageError: if the folder is not there, holds no clip, or another copy of the picture
                than the clip itself is asked for.
        """
        root = self._config.root
        if not root.is_dir():
            raise UsageError(f"dataset.root must be a folder of mp4 clips, got {root}")
        if self._video.variant == "448":
            raise UsageError("video.variant must be auto or full for gopro clips, got 448")
        files = {path.relative_to(root).as_posix(): path for path in root.rglob("*")}
        clips = [name for name in files if _is_clip(files[name])]
        if not clips:
            raise UsageError(f"dataset.root must hold mp4 clips, got none in {root}")
        takes: list[Take] = []
        narrations: dict[str, tuple[Narration, ...]] = {}
        faults: dict[str, TakeError] = {}
        ignored: dict[str, int] = {}
        for clip in clips:
            take = self._make_take(clip)
            takes.append(take)
            try:
                take_path(root, clip)
                sentences, broken = _read_narrations(files[clip])
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
            TakeError: ``video_unreadable``, ``imu_missing``, or as ``open_gpmf_imu``.
        """
        path = self._clip(take)
        video = probe_video(path)
        sensed = read_gpmf_span(path, origin_ns=video.first_pts_ns)
        start_ns, end_ns = max(0, sensed.start_ns), min(video.duration_ns, sensed.end_ns)
        if end_ns <= start_ns:
            raise TakeError(
                "imu_missing", f"IMU and picture must run at one time [{take.take_name}]"
            )
        span = Interval(start_ns, end_ns)
        return TakeClock.identity(span, uncertainty_ns=round(NS_PER_S / video.rate))

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        """Open the clip's metadata track, stamps counted from the first video frame.

        Raises:
            TakeError: as ``open_gpmf_imu``, here or from the runs.
        """
        del clock  # the identity: picture and metadata are stamped by one clock
        path = self._clip(take)
        return open_gpmf_imu(
            path,
            origin_ns=probe_video(path).first_pts_ns,
            accept_sensor_frame=self._imu.accept_sensor_frame,
        )

    def _clip(self, take: Take) -> Path:
        if take.video is None:
            raise TakeError("video_missing", f"take must have a clip [{take.take_name}]")
        return take_path(self._config.root, take.video.path)

    def _make_take(self, clip: str) -> Take:
        return Take(
            dataset=self.name,
            take_uid=sha256(clip.encode()).hexdigest()[:16],
            take_name=Path(clip).stem,
            participant=None,
            label=None,
            video=VideoStream(path=clip, variant="full"),
            imu=ImuStream(path=clip, label=GPMF_STREAM),
        )


def _is_clip(path: Path) -> bool:
    # Names with a leading dot are other systems' side files.
    return path.suffix.lower() == ".mp4" and not path.name.startswith(".") and path.is_file()


def _read_narrations(clip: Path) -> tuple[tuple[Narration, ...], dict[str, int]]:
    """Return a clip's narrations by time, and how many cues were no use, by reason.

    Raises:
        TakeError: ``captions_unreadable``.
    """
    found = {
        path.suffix.lower(): path
        for path in sorted(clip.parent.iterdir())
        if path.stem == clip.stem and path.suffix.lower() in _CAPTIONS and path.is_file()
    }
    for suffix, source in _CAPTIONS.items():
        if suffix in found:
            return _as_narrations(_open_captions(found[suffix]), source=source, file=found[suffix])
    return (), {}


def _open_captions(path: Path) -> Captions:
    try:
        return read_captions(path)
    except (SchemaError, OSError) as error:
        raise TakeError(
            "captions_unreadable", f"captions must be readable, got {error} [{path.name}]"
        ) from error


def _as_narrations(
    captions: Captions, *, source: str, file: Path
) -> tuple[tuple[Narration, ...], dict[str, int]]:
    narrations = sorted(
        (
            Narration(
                narration_ns=(cue.start_ns + cue.end_ns) // 2,
                text_raw=cue.text,
                text="",
                text_source=source,
                pass_uid=file.name,
            )
            for cue in captions.cues
        ),
        key=lambda narration: narration.narration_ns,
    )
    broken: dict[str, int] = {}
    for problem in captions.problems:
        reason = f"caption_{problem.kind}"
        broken[reason] = broken.get(reason, 0) + 1
    return tuple(narrations), broken
