"""Sentences made ready for the text encoder."""

__all__: list[str] = []
