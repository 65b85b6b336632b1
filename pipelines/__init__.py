"""From dataset folders to parts, and from parts to published store versions. No Prefect here."""

__all__: list[str] = []
