"""Spoil a sound file: bits, numbers, cuts, repeats and splices, as many as a chooser asks for.

One road for every engine: the chooser is a seeded generator, hypothesis, or a fuzzer's own.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

__all__ = ["Choose", "spoil"]

Choose = Callable[[int], int]
"""Given n, some whole number in [0, n)."""

_NUMBERS: Final = (0, 1, 2, 7, 31, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1,
                   2**62, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
_WORDS: Final = (
    b"", b"0", b"-1", b"nan", b"inf", b"-inf", b"1e400", b"1e-400", b"9223372036854775807",
    b"18446744073709551616", b"-9223372036854775808", b"4.9e-324", b"1" * 400, b"null", b"true",
    b"[]", b"{}", b'""', b'"\\ud800"', b"\xff\xfe", b"\x00", b"\xef\xbb\xbf", b"\r", b"\n\n",
    b'"', b"'", b",", b"[" * 1500, b"../../etc/passwd", b"/", b"1_000", b"0x10", b"\xe2\x80\xa8",
)  # fmt: skip
_TOKEN: Final = re.compile(rb"-?[0-9][0-9.eE+-]*|[A-Za-z_]+|\"[^\"]{0,60}\"|[\[\]{}:,\n]")
# Sizes, counts and offsets stand thick at both ends of a file.
_ENDS: Final = 400
_MOST: Final = 1 << 20


def spoil(
    data: bytes, *, choose: Choose, donors: Sequence[bytes] = (), text: bool = False
) -> bytes:
    """Return ``data`` after one to four edits.

    Args:
        data: a file.
        choose: decides everything.
        donors: files that pieces may come from; ``data`` is always one.
        text: mostly change words and values alone, so that what is behind the syntax is reached.
    """
    spoilt = bytearray(data)
    edits = _TEXT_EDITS if text and choose(4) else _EDITS
    for _ in range(1 + choose(4)):
        edits[choose(len(edits))](spoilt, choose, (data, *donors))
    return bytes(spoilt[:_MOST])


def _place(data: bytearray, choose: Choose) -> int:
    zone = choose(4)
    if len(data) <= _ENDS or zone < 2:
        return choose(max(len(data), 1))
    return choose(_ENDS) if zone == 2 else len(data) - 1 - choose(_ENDS)


def _flip(data: bytearray, choose: Choose, donors: Sequence[bytes]) -> None:
    if data:
        data[_place(data, choose)] ^= 1 << choose(8)


def _number(data: bytearray, choose: Choose, donors: Sequence[bytes]) -> None:
    width = 1 << choose(4)
    at = _place(data, choose)
    near = (len(data), len(data) - at, len(data) + 1)
    number = (*_NUMBERS, *near)[choose(len(_NUMBERS) + len(near))]
    raw = (number % (1 << 8 * width)).to_bytes(width, "big" if choose(2) else "little")
    data[at : at + width] = raw[: len(data) - at]


def _step(data: bytearray, choose: Choose, donors: Sequence[bytes]) -> None:
    if data:
        at = _place(data, choose)
        data[at] = (data[at] + (1, 255, 4, 252)[choose(4)]) % 256


def _cut(data: bytearray, choose: Choose, donors: Sequence[bytes]) -> None:
    del data[_place(data, choose) :]


def _remove(data: bytearray, choose: Choose, donors: Sequence[bytes]) -> None:
    at = _place(data, choose)
    del data[at : at + 1 + choose(64)]


def _insert(data: bytearray, choose: Choose, donors: Sequence[bytes]) -> None:
    """Repeat a piece, or bring one from another file: boxes in boxes, records twice."""
    donor = donors[choose(len(donors))]
    begin = choose(max(len(donor), 1))
    length = (8, 32, 200, 5000)[choose(4)]
    at = _place(data, choose)
    data[at:at] = donor[begin : begin + 1 + choose(length)] * (1 + choose(3))


def _overwrite(data: bytearray, choose: Choose, donors: Sequence[bytes]) -> None:
    donor = donors[choose(len(donors))]
    begin, length = choose(max(len(donor), 1)), 1 + choose(200)
    piece = donor[begin : begin + length]
    at = _place(data, choose)
    data[at : at + len(piece)] = piece


def _word(data: bytearray, choose: Choose, donors: Sequence[bytes]) -> None:
    """Put another word in place of one; among bytes that are no text, wherever one begins."""
    at = _place(data, choose)
    found = _TOKEN.search(data, at, at + 200)
    if found:
        data[found.start() : found.end()] = _WORDS[choose(len(_WORDS))]


def _value(data: bytearray, choose: Choose, donors: Sequence[bytes]) -> None:
    """Put another value in the place of one, in what is JSON."""
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        _word(data, choose, donors)
        return
    root: Any = {"": whole}
    holder: Any = root
    key: Any = ""
    while isinstance(holder[key], dict | list) and holder[key] and choose(5):
        holder = holder[key]
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        key = keys[choose(len(keys))]
    before = holder[key]
    odd = (*_VALUES, [before], {"": before}, [before, before], str(before))
    holder[key] = odd[choose(len(odd))]
    if isinstance(holder, dict) and holder is not root and choose(4) == 0:
        del holder[key]
    data[:] = json.dumps(root[""]).encode()


_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**400, "",
    "0", "\ud800", "a\0b", "../..", "x" * 5000, [], {}, [None], [[[]]], {"a": 1},
)  # fmt: skip


_TEXT_EDITS: Final = (_word, _word, _value)
_EDITS: Final = (_flip, _flip, _number, _number, _step, _cut, _remove, _insert, _overwrite, _word)
