"""What every package agrees on: time, takes, segments, embeddings, stores. No I/O."""

__all__: list[str] = []
