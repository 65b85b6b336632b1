"""Which of a dataset's sentences are asked for, and the order that catalogues keep them in."""

from collections.abc import Sequence

from pipelines.config import TextConfig
from schemas.errors import UsageError
from schemas.narration import Narration

__all__ = ["narration_order", "wanted_sources"]


def wanted_sources(text: TextConfig, *, known: Sequence[str], dataset: str) -> tuple[str, ...]:
    """Return the sources of sentences to read, as named in ``text``, else all that are known.

    Raises:
        UsageError: if ``text.sources`` names one that the dataset does not have.
    """
    if text.sources is None:
        return tuple(known)
    if strangers := sorted(set(text.sources) - set(known)):
        raise UsageError(
            f"text.sources of {dataset} must be among {', '.join(known)}, "
            f"got {', '.join(strangers)}"
        )
    return tuple(dict.fromkeys(text.sources))


def narration_order(narration: Narration) -> tuple[int, str, str, str]:
    """Return the key by which a take's narrations are sorted, whatever file order they had."""
    return (
        narration.narration_ns,
        narration.pass_uid,
        narration.text_source,
        narration.text_raw,
    )
