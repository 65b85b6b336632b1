"""What runs leave on record beside the parts: for people and for ``status``, never for the work."""

__all__: list[str] = []
