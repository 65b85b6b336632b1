"""Frames at grid times, with the time stamps really found."""

__all__: list[str] = []
