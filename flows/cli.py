"""The primus-prep program."""

__all__: list[str] = []
