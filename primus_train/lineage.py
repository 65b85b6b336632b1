"""From a training run back to its store's version, and on to that version's own sources.

A run keeps its version's manifest and run record beside its weights (``RUN/store``). The manifest's
digest is the version's id, so what a run says of its store can be trusted after the store is gone.
"""

import shutil
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from primus_train.data.places import Place, open_root
from primus_train.data.version import read_manifest, read_mask_record, read_run_record
from primus_train.files import file_sha256, read_json, write_atomic
from schemas.errors import PrimusError, StoreNotFoundError
from schemas.lineage import Lineage, code_branches, lineage_branches, make_lineage, print_tree
from schemas.mask import MaskRecord, MaskSpec
from schemas.provenance import CodeRecord, read_code_record
from schemas.store import MANIFEST, RUN, version_path

__all__ = [
    "KEPT",
    "RunLineage",
    "keep_store_files",
    "print_run_lineage",
    "read_code",
    "read_run_lineage",
]

_PACKAGES: Final = ("numpy", "pyarrow", "pydantic", "s3fs", "torch", "universal-pathlib", "zarr")
KEPT: Final = "store"
"""Folder of a run that holds what its version says of itself, laid out as in a store."""


class RunLineage(BaseModel):
    """What a training run was, and where its data comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = Field(description="key: digest of trainer, store version, mask and config")
    finished: bool
    objective: str
    seed: int
    config: dict[str, Any]
    device: str
    steps: int | None = Field(description="None while unfinished")
    code: CodeRecord | None = Field(description="None in runs made before it was recorded")
    checkpoints: dict[str, str] = Field(description="file: SHA-256")
    store: str | None = Field(description="URI without credentials")
    version: str | None = Field(description="None in an imported run")
    imported: dict[str, str] | None = Field(
        default=None, description="file, SHA-256 and layout of the published checkpoint it is"
    )
    mask: str | None
    mask_sha256: str | None
    mask_spec: MaskSpec | None
    made_from: Lineage | None = Field(description="what the version's own files tell")
    read_from: Literal["store", "run", "nowhere"] = Field(description="whose files those were")
    problems: tuple[str, ...] = Field(description="what could not be read or has changed since")


def read_code() -> CodeRecord:
    """Return what code runs here, for the record of a run or a result."""
    return read_code_record(_PACKAGES)


def keep_store_files(root: Path, version: str, *, out: Path) -> None:
    """Copy what a version says of itself into a run's folder: manifest and run record.

    Args:
        root: folder of the store, or of the copy of it on this machine.
        version: id of the version.
        out: the run's folder.
    """
    shutil.rmtree(out / KEPT, ignore_errors=True)
    for name in (MANIFEST, RUN):
        path = root / version_path(version, name)
        # The run record is no part of the version, and may be missing.
        if name == MANIFEST or path.is_file():
            # The same names as in a store, so that the same code reads both.
            write_atomic(out / KEPT / version_path(version, name), path.read_bytes())


def read_run_lineage(run: Path) -> RunLineage:
    """Return the lineage of a training run; the store is asked first, then what the run kept.

    Args:
        run: the run's folder, or a checkpoint in it.

    Raises:
        StoreNotFoundError: if there is no record of a run.
    """
    folder = run.parent if run.is_file() else run
    if not (folder / RUN).is_file():
        raise StoreNotFoundError(f"run must be a folder with {RUN}, none found [run={run}]")
    record = read_json(folder / RUN)
    store: dict[str, Any] = record["store"]
    version, uri, imported = store["version"], store.get("uri"), record.get("imported")
    problems: list[str] = []
    spec, code = store.get("mask_spec"), record.get("code")
    made_from, read_from = (
        (None, "nowhere")  # a published file does not tell what it was trained on
        if imported is not None
        else _read_store(folder, version=version, uri=uri, problems=problems)
    )
    if read_from == "store" and store["mask"] is not None and uri is not None:
        made_from = _with_mask(made_from, store, root=open_root(uri), problems=problems)
    return RunLineage(
        run=record["key"],
        finished=record["finished"],
        objective=record["objective"],
        seed=record["seed"],
        config=record["config"],
        device=record["device"],
        steps=record.get("steps"),
        code=None if code is None else CodeRecord.model_validate(code),
        checkpoints={path.name: file_sha256(path) for path in sorted(folder.glob("*.pt"))},
        store=uri,
        version=version,
        imported=imported,
        mask=store["mask"],
        mask_sha256=store["mask_sha256"],
        mask_spec=None if spec is None else MaskSpec.model_validate(spec),
        made_from=made_from,
        read_from=read_from,
        problems=tuple(problems),
    )


def _read_store(
    folder: Path, *, version: str, uri: str | None, problems: list[str]
) -> tuple[Lineage | None, Literal["store", "run", "nowhere"]]:
    """Return what a version's files tell, from the store or else from the run's folder."""
    places: list[tuple[Literal["store", "run"], str]] = [("run", str(folder / KEPT))]
    if uri is not None:
        places.insert(0, ("store", uri))
    for whose, place in places:
        try:
            root = open_root(place)
            manifest = read_manifest(root, version)
            record = read_run_record(root, version)
        except (PrimusError, OSError) as error:
            problems.append(f"{whose}: {' '.join(str(error).split())}")
            continue
        if record is None:
            problems.append(f"{whose}: the version's run record is not there or not as written")
        return make_lineage(manifest, version=version, record=record, store=uri), whose
    return None, "nowhere"


def _with_mask(
    made_from: Lineage | None, store: dict[str, Any], *, root: Place, problems: list[str]
) -> Lineage | None:
    try:
        found: MaskRecord = read_mask_record(root, str(store["version"]), str(store["mask"]))
    except PrimusError as error:
        problems.append(f"mask: {error}")
        return made_from
    if found.sha256 != store["mask_sha256"]:
        problems.append(
            f"mask: {store['mask']} had SHA-256 {store['mask_sha256']} when the run began, the "
            f"store's has {found.sha256}"
        )
        return made_from
    return None if made_from is None else made_from.model_copy(update={"masks": (found,)})


def print_run_lineage(lineage: RunLineage) -> str:
    """Return a run's lineage as a tree for people."""
    steps = "unfinished" if lineage.steps is None else f"{lineage.steps} steps"
    if lineage.imported is not None:
        steps = "steps not told"
    branches: dict[str, Any] = {
        "objective": f"{lineage.objective}, seed {lineage.seed}, {steps} on {lineage.device}",
        "checkpoints": lineage.checkpoints,
        "code": "not told" if lineage.code is None else code_branches(lineage.code),
    }
    if lineage.mask is not None:
        spec = None if lineage.mask_spec is None else lineage.mask_spec.model_dump(mode="json")
        branches[f"mask {lineage.mask}"] = {"sha256": lineage.mask_sha256, "recipe": spec}
    if lineage.imported is not None:
        branches["imported from"] = lineage.imported
    else:
        where = f"store {lineage.store or 'not told'}@{lineage.version}"
        told = {"store": "", "run": " (as the run kept it)", "nowhere": ""}[lineage.read_from]
        branches[where + told] = (
            "nothing is left that tells"
            if lineage.made_from is None
            else lineage_branches(lineage.made_from)
        )
    if lineage.problems:
        branches["problems"] = list(lineage.problems)
    return print_tree(f"run {lineage.run}", branches)
