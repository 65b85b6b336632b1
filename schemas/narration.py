"""A narration: one timestamped sentence about a take, raw and cleaned."""

from dataclasses import dataclass

__all__ = ["Narration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Narration:
    """One sentence as an annotator gave it; ``text`` is what the text encoder will read."""

    narration_ns: int
    """On the take clock."""
    text_raw: str
    text: str
    text_source: str
    """Which annotation set it comes from, such as ``atomic_descriptions``."""
    pass_uid: str
    """The annotator pass it belongs to."""
    subject: str | None = None
    """Whom it speaks of: ``wearer``, ``other``; None where the annotation does not say."""
    visible: bool | None = None
    """Whether the wearer's camera shows it; None where the annotation does not say."""
