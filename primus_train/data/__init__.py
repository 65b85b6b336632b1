"""Open published versions and choose rows of them."""

__all__: list[str] = []
