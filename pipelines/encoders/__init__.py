"""Frozen video and text encoders."""

__all__: list[str] = []
