"""Where stores and parts lie, and files that appear there whole or not at all."""

__all__: list[str] = []
