"""Small classifiers on frozen encoders."""

__all__: list[str] = []
