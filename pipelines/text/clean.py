"""From an annotator's sentence to the sentence the text encoder reads."""

import re
import string
from typing import Final, Literal

__all__ = ["clean_text"]

_PUBLISHED_CHARACTERS: Final = 128
_SPACE = re.compile(r"\s+")
# "#C C picks" (Ego4D) and "C picks" (Ego-Exo4D): the wearer; "#O " marks another person.
_SUBJECT = re.compile(r"(?:#\s?[Cc] [Cc]|#\s?[Cc]|#\s?[Oo]|C)[:,]?\s+")
# Some annotations stop after the marker.
_BARE_SUBJECT = re.compile(r"(?:#\s?)?[Cc](?: [Cc])?\W*")
# "Cturns": the wearer's C glued to the verb. No English word starts with these pairs, so
# "Closes" and "Cuts" stay whole.
_GLUED = re.compile(r"C(?=[bcdfgjkmpqstvwx])")
_UNSURE = re.compile(r"#unsure\b", re.IGNORECASE)


def clean_text(raw: str, *, rule: Literal["default", "published"]) -> str:
    """Return the cleaned sentence; empty where nothing is left.

    Args:
        raw: as annotated.
        rule: ``default`` drops the subject marker at the start (``#C C``, ``C``, a ``C`` glued to
            the verb, ``#O``; alone it leaves nothing), reads ``#unsure`` as "something",
            collapses white space, trims punctuation at both ends and lower-cases. ``published``
            repeats the published code, which deletes every capital C and cuts at 128 characters.
    """
    return _clean(raw) if rule == "default" else _clean_published(raw)


def _clean(raw: str) -> str:
    text = _SPACE.sub(" ", raw).strip()
    if _BARE_SUBJECT.fullmatch(text):
        return ""
    text = _SUBJECT.sub("", text, count=1) if _SUBJECT.match(text) else _GLUED.sub("", text, 1)
    text = _UNSURE.sub("something", text)
    return text.strip(string.punctuation + " ").lower()


def _clean_published(raw: str) -> str:
    text = raw.replace("#C C ", "").replace("C", "").replace("#unsure", "something")
    return text.strip().strip(string.punctuation).lower()[:_PUBLISHED_CHARACTERS]
