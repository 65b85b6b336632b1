"""Where parts and versions go."""

from pydantic import Field, field_validator

from pipelines.config.closed import Closed
from pipelines.storage.places import Place, check_place, open_place
from schemas.errors import UsageError
from schemas.store import parse_tag

__all__ = ["StoreConfig"]


class StoreConfig(Closed):
    """Where parts and versions go."""

    uri: str = Field(description="store: a folder, or a URI such as s3://bucket/store")
    parts: str | None = Field(default=None, description="place of the parts; default STORE/parts")
    tag: str = Field(default="latest", description="set to the new version")

    @field_validator("uri", "parts")
    @classmethod
    def _is_a_place(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return check_place(value)
        except UsageError as error:
            raise ValueError(str(error)) from error

    @property
    def place(self) -> Place:
        """Where the store lies."""
        return open_place(self.uri)

    @field_validator("tag")
    @classmethod
    def _may_name_a_tag(cls, value: str) -> str:
        return parse_tag(value)
