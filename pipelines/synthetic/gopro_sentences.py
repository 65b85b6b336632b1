"""What is said about synthetic GoPro clips: cues, and the caption files beside the clips."""

import csv
import io
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
from pydantic import Field

from pipelines.synthetic.documents import ClosedModel
from pipelines.synthetic.sentences import make_sentences
from pipelines.synthetic.truth import SubActionTruth
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = ["CueTruth", "format_captions", "make_cues"]

_HALF_MS: Final = 500
# Sensors may start some ms behind the picture and end before it: nothing is said there.
_MARGIN_S: Final = 0.5


class CueTruth(ClosedModel):
    """One sentence of a caption file, on the clock of the clip beside it."""

    clip: int = Field(description="which of the recording's files it stands beside, from 0")
    at_ms: int = Field(description="middle of the cue, since the first frame of that file")
    half_ms: int = Field(description="half the length of the cue")
    text: str


def make_cues(
    activity: int,
    *,
    schedule: Sequence[SubActionTruth],
    starts_ns: Sequence[int],
    end_ns: int,
    fault: str | None,
    seed: int,
) -> tuple[CueTruth, ...]:
    """Return a recording's cues in time order, those of its fault last.

    Args:
        activity: index of the activity.
        schedule: its sub-actions.
        starts_ns: take time of each file's first frame.
        end_ns: where the recording ends.
        fault: of the take, if any.
        seed: of the take.
    """
    seconds = end_ns / NS_PER_S
    said = make_sentences(
        activity,
        schedule=schedule,
        first_s=_MARGIN_S,
        until_s=seconds - _MARGIN_S,
        seconds=seconds,
        fault=fault,
        rng=np.random.default_rng([seed, 42]),
    )
    return tuple(_cue(t_s, text.strip(), starts_ns=starts_ns) for t_s, text in said)


def format_captions(cues: Sequence[CueTruth], *, suffix: str) -> str:
    """Return a caption file: WebVTT, SRT, or a CSV table of instants.

    Args:
        cues: of one file.
        suffix: ``.vtt``, ``.srt`` or ``.csv``.
    """
    if suffix == ".csv":
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["t_s", "text"])
        rows.writerows([f"{cue.at_ms / 1000:.3f}", cue.text] for cue in cues)
        return table.getvalue()
    blocks = ["WEBVTT"] if suffix == ".vtt" else []
    for number, cue in enumerate(cues, start=1):
        first, last = _clock(cue.at_ms - cue.half_ms), _clock(cue.at_ms + cue.half_ms)
        if suffix == ".srt":
            first, last = first.replace(".", ","), last.replace(".", ",")
        name = f"{number}\n" if suffix == ".srt" else ""
        blocks.append(f"{name}{first} --> {last}\n{cue.text}")
    return "\n\n".join(blocks) + "\n"


def _cue(t_s: float, text: str, *, starts_ns: Sequence[int]) -> CueTruth:
    t_ns = round(t_s * NS_PER_S)
    clip = max(0, bisect_right(starts_ns, t_ns) - 1)
    at_ms = (t_ns - starts_ns[clip]) // NS_PER_MS
    if at_ms >= 0:
        at_ms = max(1, at_ms)  # a cue at 0 would have no length
    return CueTruth(clip=clip, at_ms=at_ms, half_ms=min(_HALF_MS, max(0, at_ms)), text=text)


def _clock(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{ms:03d}"
