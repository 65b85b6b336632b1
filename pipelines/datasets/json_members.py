"""The members of a large JSON object one by one, so that only one of them is held as values."""

import json
import re
from collections.abc import Collection, Generator, Iterator
from typing import Any, Final

__all__ = ["read_members"]

_SPACE: Final = re.compile(r"[ \t\n\r]*")


def read_members(text: str, *, inside: Collection[str] = ()) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of a JSON object's members, in their order.

    Args:
        text: a whole JSON document, an object.
        inside: names of members that are objects themselves, whose members are given in their
            place.

    Raises:
        ValueError: where the text stops being a JSON object; members before it were given.
    """
    end = yield from _members(text, _skip(text, 0), inside=inside)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def _members(
    text: str, at: int, *, inside: Collection[str]
) -> Generator[tuple[str, Any], None, int]:
    """Give the members of the object at ``at``; return where the text goes on after it."""
    decoder = json.JSONDecoder()
    at = _expect(text, at, "{")
    if text[at : at + 1] == "}":
        return _skip(text, at + 1)
    while True:
        name, at = decoder.raw_decode(text, at)
        if not isinstance(name, str):
            raise json.JSONDecodeError("Expecting a name", text, at)
        at = _expect(text, _skip(text, at), ":")
        if name in inside and text[at : at + 1] == "{":
            at = yield from _members(text, at, inside=())
        else:
            value, at = decoder.raw_decode(text, at)
            yield name, value
            at = _skip(text, at)
        if text[at : at + 1] != ",":
            return _expect(text, at, "}")
        at = _skip(text, at + 1)


def _expect(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise json.JSONDecodeError(f"Expecting {mark!r}", text, at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
