"""Immutable versions, their tags and masks."""

__all__: list[str] = []
