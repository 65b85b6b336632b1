"""From an annotator's sentence to the sentence the text encoder reads."""

from typing import Literal

from pipelines.text.rules import RULE_SETS

__all__ = ["clean_text"]


def clean_text(raw: str, *, rule: Literal["default", "published"]) -> str:
    """Return the cleaned sentence; empty where nothing is left.

    Args:
        raw: as annotated.
        rule: ``default`` drops the subject marker at the start (``#C C``, ``C``, a ``C`` glued to
            the verb, ``#O``; alone it leaves nothing), reads ``#unsure`` as "something",
            collapses white space, trims punctuation at both ends and lower-cases. ``published``
            repeats the published code, which deletes every capital C and cuts at 128 characters.
    """
    text = raw
    for step in RULE_SETS[rule]:
        text = step(text)
    return text
