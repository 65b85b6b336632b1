"""Which stretch of a take each narration describes."""

__all__: list[str] = []
