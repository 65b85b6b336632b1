"""What a version looks like, for people."""

__all__: list[str] = []
