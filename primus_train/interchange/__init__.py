"""Encoders in and out: published checkpoints, portable files, and arrays in a notebook."""

__all__: list[str] = []
