"""One take's finished expensive work, content-addressed."""

__all__: list[str] = []
