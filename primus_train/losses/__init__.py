"""Contrastive losses and their temperatures."""

__all__: list[str] = []
