"""Folders put into an object store, and what lies there."""

from pathlib import Path

from pipelines.storage.places import Place, open_place

__all__ = ["objects_below", "put_folder"]


def put_folder(folder: Path, uri: str) -> Place:
    """Copy every file below a folder to ``uri``, and return the place."""
    place = open_place(uri)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            (place / file.relative_to(folder).as_posix()).write_bytes(file.read_bytes())
    return place


def objects_below(place: Place) -> dict[str, bytes]:
    """Return the content of every file or object below a place, by relative path."""
    if isinstance(place, Path):
        found = [p for p in place.rglob("*") if p.is_file()]
        return {p.relative_to(place).as_posix(): p.read_bytes() for p in found}
    prefix = place.path.rstrip("/") + "/"
    names = place.fs.find(place.path)
    return {name.removeprefix(prefix): place.fs.cat_file(name) for name in names}
