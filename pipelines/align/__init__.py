"""Device clocks to the take clock, and how well streams agree."""

__all__: list[str] = []
