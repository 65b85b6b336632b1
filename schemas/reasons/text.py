"""What is wrong with sentences and with what is made of them."""

from typing import Final

from schemas.reasons.reason import reasons

__all__ = ["ANNOTATIONS", "TEXT"]

TEXT: Final = reasons(
    "quarantine",
    (
        "captions_unreadable",
        "The clip's file of sentences is no such file, or not UTF-8",
        "Save it as UTF-8 in its format, then `retry`",
    ),
    (
        "captions_too_large",
        "The clip's file of sentences is larger than the sentences of any recording",
        "Look whether it is a file of sentences; if so, split it",
    ),
    (
        "embedding_not_finite",
        "The encoder gave NaN or infinity",
        "Look at the encoder's weights; try `encoder.precision=float32`",
    ),
    (
        "embedding_zero",
        "The encoder gave a vector without direction",
        "Look at the encoder's weights, and whether the take's picture is all one colour",
    ),
)
"""Of takes whose sentences cannot be read, or that the encoder fails on."""

ANNOTATIONS: Final = reasons(
    "ignored",
    (
        "unknown_take",
        "Annotations of a take that the dataset does not have",
        "Download the take, or accept",
    ),
    ("rejected_pass", "A pass that the dataset's makers rejected", "Nothing to mend"),
    ("later_pass", "Not the take's first pass", "`text.passes=all` reads every pass"),
    ("other_source", "Of a source that is not wanted", "Add it to `text.sources`"),
    (
        "commentary_error",
        "A commentary whose recording the dataset marks as failed",
        "Nothing to mend",
    ),
    ("malformed_description", "An annotation without text or time", "Correct the annotation file"),
    ("malformed_narration", "A narration without text or time", "Correct the annotation file"),
    ("caption_timing", "A cue without a readable time", "Correct the cue's times"),
    ("caption_order", "A cue that ends before it starts", "Correct the cue's times"),
    ("caption_empty", "A cue without words", "Write its words, or accept"),
)
"""Of annotations that plan no segment."""
