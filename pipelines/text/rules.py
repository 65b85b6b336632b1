"""The cleaning rules, each a function of one sentence, and the sets they make up."""

import re
import string
from collections.abc import Callable, Mapping
from typing import Final

__all__ = [
    "RULE_SETS",
    "collapse_space",
    "cut_at_128_characters",
    "delete_every_capital_c",
    "delete_wearer_marker",
    "drop_subject_marker",
    "lower_case",
    "name_unsure",
    "name_unsure_as_published",
    "trim_punctuation",
    "trim_space_then_punctuation",
]

_PUBLISHED_CHARACTERS: Final = 128
_SPACE: Final = re.compile(r"\s+")
# "#C C picks" (Ego4D) and "C picks" (Ego-Exo4D): the wearer; "#O " marks another person.
_SUBJECT: Final = re.compile(r"(?:#\s?[Cc] [Cc]|#\s?[Cc]|#\s?[Oo]|C)[:,]?\s+")
# Some annotations stop after the marker.
_BARE_SUBJECT: Final = re.compile(r"(?:#\s?)?[Cc](?: [Cc])?\W*")
# "Cturns": the wearer's C glued to the verb. No English word starts with these pairs, so
# "Closes" and "Cuts" stay whole.
_GLUED: Final = re.compile(r"^C(?=[bcdfgjkmpqstvwx])")
_UNSURE: Final = re.compile(r"#unsure\b", re.IGNORECASE)


def collapse_space(text: str) -> str:
    """Turn every run of white space, line ends included, into one space; none at the ends."""
    return _SPACE.sub(" ", text).strip()


def drop_subject_marker(text: str) -> str:
    """Drop who acts from the start: ``#C C``, ``C``, a ``C`` glued to the verb, ``#O``.

    A marker without a sentence leaves nothing. Any other C stays.
    """
    if _BARE_SUBJECT.fullmatch(text):
        return ""
    marker = _SUBJECT.match(text)
    return _GLUED.sub("", text[marker.end() :] if marker else text)


def name_unsure(text: str) -> str:
    """Read ``#unsure``, however it is written, as "something"."""
    return _UNSURE.sub("something", text)


def trim_punctuation(text: str) -> str:
    """Trim ASCII punctuation and spaces, in any order, from both ends."""
    return text.strip(string.punctuation + " ")


def lower_case(text: str) -> str:
    """Write all letters small."""
    return text.lower()


def delete_wearer_marker(text: str) -> str:
    """Delete ``#C C`` wherever it stands with a space behind it, as the published code does."""
    return text.replace("#C C ", "")


def delete_every_capital_c(text: str) -> str:
    """Delete every capital C, of "Closes" and "Cup" too: a fault of the published code."""
    return text.replace("C", "")


def name_unsure_as_published(text: str) -> str:
    """Read ``#unsure`` in small letters as "something"."""
    return text.replace("#unsure", "something")


def trim_space_then_punctuation(text: str) -> str:
    """Trim space, then punctuation: space inside of it stays, as in the published code."""
    return text.strip().strip(string.punctuation)


def cut_at_128_characters(text: str) -> str:
    """Keep the first 128 characters."""
    return text[:_PUBLISHED_CHARACTERS]


RULE_SETS: Final[Mapping[str, tuple[Callable[[str], str], ...]]] = {
    "default": (
        collapse_space,
        drop_subject_marker,
        name_unsure,
        trim_punctuation,
        lower_case,
    ),
    "published": (
        delete_wearer_marker,
        delete_every_capital_c,
        name_unsure_as_published,
        trim_space_then_punctuation,
        lower_case,
        cut_at_128_characters,
    ),
}
"""By ``text.cleaning``: rules in the order in which they are applied."""
