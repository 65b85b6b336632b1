"""Timed sentences from a CSV file beside a clip.

The first row names the columns: ``text``, and either ``start_s`` and ``end_s`` or the single
instant ``t_s``, in seconds of the clip's own clock, zero at its first frame. Further columns are
not read. UTF-8 with or without a byte order mark, quoted as RFC 4180 says.
"""

import csv
import io
from pathlib import Path
from typing import Final

from pipelines.text.captions import Captions, Cue, read_caption_text
from schemas.errors import Problem, SchemaError
from schemas.time import NS_PER_S

__all__ = ["parse_narration_csv", "read_narration_csv"]

# 31 years; no clip is longer, and as ns it fits int64.
_LONGEST_S: Final = 1e9


def read_narration_csv(path: Path) -> Captions:
    """Read a ``.csv`` file of sentences.

    Raises:
        TakeError: ``captions_too_large``.
        SchemaError: if the file is not UTF-8, or as ``parse_narration_csv``.
        OSError: if the file cannot be read.
    """
    return parse_narration_csv(read_caption_text(path))


def parse_narration_csv(text: str) -> Captions:
    """Return the cues of a CSV document; at an instant, start and end are one.

    A broken row is a problem of its own and never stops the others. Empty rows are skipped.

    Raises:
        SchemaError: if the columns are not there, or the document is no CSV.
    """
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    cues: list[Cue] = []
    problems: list[Problem] = []
    try:
        columns = [name.strip() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        times = _time_columns(columns)
        for row in rows:
            cue = _parse_row(row, times=times)
            if isinstance(cue, Cue):
                cues.append(cue)
            else:
                kind, message = cue
                problems.append(Problem(f"line {rows.line_num}", message, kind))
    except csv.Error as error:
        raise SchemaError(
            [Problem(f"line {rows.line_num}", f"must be CSV, got {error}", "csv")]
        ) from error
    return Captions(cues=tuple(cues), problems=tuple(problems))


def _time_columns(columns: list[str]) -> tuple[str, str]:
    if "text" in columns and {"start_s", "end_s"} <= set(columns):
        return "start_s", "end_s"
    if "text" in columns and "t_s" in columns:
        return "t_s", "t_s"
    raise SchemaError(
        [
            Problem(
                "line 1",
                f"columns must be start_s, end_s, text or t_s, text, got {', '.join(columns)[:80]}",
                "columns",
            )
        ]
    )


def _parse_row(row: dict[str, str], *, times: tuple[str, str]) -> Cue | tuple[str, str]:
    """Return a row's cue, or the kind and sentence of what is wrong with it."""
    start, end = (row[name] or "" for name in times)
    start_ns, end_ns = _time_ns(start), _time_ns(end)
    if start_ns is None or end_ns is None:
        return "timing", f"must have times in seconds, got {start[:20]!r}, {end[:20]!r}"
    if end_ns < start_ns or (end_ns == start_ns and times[0] != times[1]):
        return "order", f"end must come after start, got {start[:20]!r}, {end[:20]!r}"
    words = (row["text"] or "").split()
    if not words:
        return "empty", f"must have words, got none at {start[:20]!r}"
    return Cue(start_ns=start_ns, end_ns=end_ns, text=" ".join(words))


def _time_ns(value: str) -> int | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    # Written so that NaN is none.
    return round(seconds * NS_PER_S) if abs(seconds) <= _LONGEST_S else None
