"""Timed sentences from WebVTT and SRT files.

WebVTT by the W3C's "WebVTT: The Web Video Text Tracks Format", section 4; SRT has no standard and
is read as SubRip writes it. A broken cue is a problem of its own and never stops the others.
"""

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.errors import Problem, SchemaError, TakeError
from schemas.limits import LARGEST_CAPTIONS_BYTES
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = ["Captions", "Cue", "parse_srt", "parse_webvtt", "read_caption_text", "read_captions"]

# Five digits of hours are eleven years; more would leave int64.
_WEBVTT_TIME: Final = re.compile(r"(?:(\d{2,5}):)?([0-5]\d):([0-5]\d)\.(\d{3})")
_SRT_TIME: Final = re.compile(r"(?:(\d{1,5}):)?([0-5]?\d):([0-5]?\d)[,.](\d{3})")
_BREAK: Final = re.compile(r"\n[ \t]*\n+")
_WEBVTT_TAG: Final = re.compile(r"<[^>]*>")
# Also the {\an8} of SubStation files, which SRT writers let through.
_SRT_TAG: Final = re.compile(r"</?\w[^>]*>|\{\\[^}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """One timed sentence: ``[start_ns, end_ns)`` on the clip's own clock, or an instant."""

    start_ns: int
    end_ns: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Captions:
    """A caption file: its cues in file order, and the blocks that are none."""

    cues: tuple[Cue, ...]
    problems: tuple[Problem, ...]


def read_captions(path: Path) -> Captions:
    """Read a ``.vtt`` or ``.srt`` file, UTF-8 with or without a byte order mark.

    Raises:
        TakeError: ``captions_too_large``.
        SchemaError: if the file is not UTF-8, or a ``.vtt`` does not begin with WEBVTT.
        OSError: if the file cannot be read.
    """
    text = read_caption_text(path)
    return parse_webvtt(text) if path.suffix.lower() == ".vtt" else parse_srt(text)


def read_caption_text(path: Path) -> str:
    """Return the text of a file of sentences.

    Raises:
        TakeError: ``captions_too_large``.
        SchemaError: if the file is not UTF-8.
        OSError: if it cannot be read.
    """
    size = path.stat().st_size
    if size > LARGEST_CAPTIONS_BYTES:
        raise TakeError(
            "captions_too_large",
            f"sentences must have at most {LARGEST_CAPTIONS_BYTES} bytes, got {size}: split the "
            f"file [{path.name}]",
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem(path.name, f"must be UTF-8, got {error.reason}", "encoding")
        raise SchemaError([problem]) from error


def parse_webvtt(text: str) -> Captions:
    """Return the cues of a WebVTT document; notes, styles and regions are skipped.

    Tags (voices and inner times too) are stripped, entities are resolved, lines are joined.

    Raises:
        SchemaError: if the first line is not ``WEBVTT``.
    """
    header, *blocks = _blocks(text)
    if re.match(r"WEBVTT(?:[ \t\n]|$)", header) is None:
        raise SchemaError([Problem("line 1", f"must be WEBVTT, got {header[:40]!r}", "header")])
    cues = [b for b in blocks if re.match(r"(?:NOTE|STYLE|REGION)(?:[ \t\n]|$)", b) is None]
    return _parse(cues, time=_WEBVTT_TIME, tag=_WEBVTT_TAG)


def parse_srt(text: str) -> Captions:
    """Return the cues of an SRT document; formatting tags are stripped, lines are joined."""
    return _parse([b for b in _blocks(text) if b], time=_SRT_TIME, tag=_SRT_TAG)


def _blocks(text: str) -> list[str]:
    """Return the runs of lines between empty lines; at least one, which may be empty."""
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return _BREAK.split(plain.strip("\n"))


def _parse(blocks: list[str], *, time: re.Pattern[str], tag: re.Pattern[str]) -> Captions:
    cues: list[Cue] = []
    problems: list[Problem] = []
    for number, block in enumerate(blocks, start=1):
        cue = _parse_cue(block, time=time, tag=tag)
        if isinstance(cue, Cue):
            cues.append(cue)
        else:
            kind, message = cue
            problems.append(Problem(f"cue {number}", message, kind))
    return Captions(cues=tuple(cues), problems=tuple(problems))


def _parse_cue(block: str, *, time: re.Pattern[str], tag: re.Pattern[str]) -> Cue | tuple[str, str]:
    """Return a block's cue, or the kind and sentence of what is wrong with it."""
    lines = block.split("\n")
    # The timing is the first line, or the second after an identifier.
    at = next((i for i, line in enumerate(lines[:2]) if "-->" in line), None)
    if at is None:
        return "timing", f"must have a line START --> END, got {lines[0][:40]!r}"
    start, _, rest = lines[at].partition("-->")
    end = rest.split()[0] if rest.split() else ""  # settings such as align:left may follow
    start_ns, end_ns = _time_ns(start.strip(), time=time), _time_ns(end, time=time)
    if start_ns is None or end_ns is None:
        return "timing", f"must have times HH:MM:SS.mmm, got {lines[at][:60]!r}"
    if end_ns <= start_ns:
        return "order", f"end must come after start, got {lines[at][:60]!r}"
    words = html.unescape(tag.sub("", " ".join(lines[at + 1 :]))).split()
    if not words:
        return "empty", f"must have words, got none at {start.strip()}"
    return Cue(start_ns=start_ns, end_ns=end_ns, text=" ".join(words))


def _time_ns(value: str, *, time: re.Pattern[str]) -> int | None:
    found = time.fullmatch(value)
    if found is None:
        return None
    hours, minutes, seconds, millis = (int(group or 0) for group in found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * NS_PER_S + millis * NS_PER_MS
