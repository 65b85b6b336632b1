"""Write a synthetic folder of GoPro clips as on a camera's card, with the truth beside it."""

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pipelines.synthetic.arguments import check_size_px
from pipelines.synthetic.documents import write_truth_file
from pipelines.synthetic.faults import KEPT_BYTES
from pipelines.synthetic.gopro_mux import mux_clip
from pipelines.synthetic.gopro_sentences import format_captions
from pipelines.synthetic.gopro_track import make_payloads
from pipelines.synthetic.gopro_truth import (
    CLIP_RATE,
    ClipTruth,
    GoProTake,
    clip_frames_ns,
    plan_gopro,
)
from pipelines.synthetic.jobs import make_new_folder, write_all
from pipelines.synthetic.spoil_video import plan_frame_times, write_sound, write_spoiled_video
from schemas.time import NS_PER_S

__all__ = ["write_gopro"]

# These leave no clip that a metadata track could be laid into.
_NO_CLIP: Final = ("video_empty", "video_audio_only")


def write_gopro(
    dest: Path,
    *,
    takes: int,
    seconds: float,
    seed: int,
    participants: int = 4,
    faults: Sequence[str] = (),
    workers: int = 1,
    size_px: int = 224,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``takes`` recordings of ``seconds`` each to ``dest/DCIM/100GOPRO``.

    Equal arguments give equal bytes, whatever ``workers`` is. Of two or more recordings the first
    is cut into two chapters. Two cameras take turns: one writes its axes and its own clock, the
    other neither; sentences stand in WebVTT, SRT and CSV files in turn; every second clip has
    sound, and every third shows its first frame 0.1 s after its clock's zero.

    Args:
        dest: folder to make; must not exist or be empty.
        takes: number of recordings; they go round the people, then on to the next activity.
        seconds: length of each, at least 8.
        seed: of everything drawn.
        participants: how many people there are.
        faults: names of faults, or ``all``; each spoils another recording, the last ones first.
        workers: processes that write recordings.
        size_px: side of the picture, a multiple of 4.
        progress: called with (recordings written, recordings) after each.

    Raises:
        UsageError: for arguments that cannot be, or a folder that holds something.
    """
    check_size_px(size_px)
    truth = plan_gopro(
        takes=takes, seconds=seconds, seed=seed, participants=participants, faults=faults
    )
    make_new_folder(dest)
    (dest / truth.takes[0].clips[0].path).parent.mkdir(parents=True)
    jobs = [(take, size_px) for take in truth.takes]
    write_all(_write_take, jobs, dest=dest, workers=workers, progress=progress)
    write_truth_file(dest, truth)


def _write_take(dest: Path, job: tuple[GoProTake, int]) -> None:
    take, size_px = job
    for number, clip in enumerate(take.clips):
        path = dest / clip.path
        _write_clip(path, take=take, clip=clip, size_px=size_px)
        cues = [cue for cue in take.cues if cue.clip == number]
        captions = format_captions(cues, suffix=take.captions).encode()
        if take.fault == "captions_corrupt":
            captions = b"\xff\xfe" + captions  # half a UTF-16 file
        path.with_suffix(take.captions).write_bytes(captions)


def _write_clip(path: Path, *, take: GoProTake, clip: ClipTruth, size_px: int) -> None:
    with TemporaryDirectory(dir=path.parent, prefix=".") as scratch:
        picture, sound = Path(scratch) / "picture.mp4", Path(scratch) / "sound.mp4"
        times = plan_frame_times(take.fault, frames=clip.frames, seed=take.seed, rate=CLIP_RATE)
        write_spoiled_video(
            picture,
            # What cuts a file off cuts the finished one.
            fault=None if take.fault == "video_truncated" else take.fault,
            scene=take,
            seen_ns=clip_frames_ns(take, clip),
            times=times,
            size_px=size_px,
        )
        if take.fault in _NO_CLIP:
            picture.replace(path)
            return
        if take.has_sound:
            write_sound(sound, seconds=(clip.end_ns - clip.start_ns) / NS_PER_S)
        mux_clip(
            path,
            picture=picture,
            sound=sound if take.has_sound else None,
            payloads=() if take.fault == "imu_stream_missing" else make_payloads(take, clip),
            picture_start=Fraction(take.picture_start_ns, NS_PER_S),
        )
    if take.fault == "video_truncated":
        os.truncate(path, int(path.stat().st_size * KEPT_BYTES))
