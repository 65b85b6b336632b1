"""The commands of ``primus-train``, a module each: its options, and what it does."""

__all__: list[str] = []
