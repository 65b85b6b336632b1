"""Datasets made here in the real on-disk layouts."""

__all__: list[str] = []
