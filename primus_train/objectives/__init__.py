"""Pretraining objectives: what turns a batch of triplets into one number."""

__all__: list[str] = []
