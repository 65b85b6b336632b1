"""A study as a plan: which runs are made, which probes of them, and what each is known by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from primus_train.config import FitConfig
from primus_train.data.places import open_root
from primus_train.data.version import StoreIdentity, identify_store, read_manifest
from primus_train.files import file_sha256, read_json
from primus_train.probes.config import ProbeConfig
from primus_train.prompts import read_prompts
from primus_train.runs import RUN
from primus_train.studies.masks import find_masks
from primus_train.studies.methods import (
    BASELINES,
    SHARED_METHODS,
    SUBSETS,
    Method,
    make_method_config,
    pair_methods,
)
from primus_train.studies.settings import StudyName, StudySettings
from schemas.errors import UsageError
from schemas.mask import MaskRecord
from schemas.store import canonical_json, sha256_hex

__all__ = ["FitTask", "Line", "Panel", "Plan", "ProbeTask", "make_plan"]

_METHODS: Final[dict[StudyName, Callable[[], Sequence[Method]]]] = {
    "baselines": lambda: BASELINES,
    "ablation": lambda: SUBSETS,
    "data-efficiency": lambda: SHARED_METHODS,
    "augmentations": pair_methods,
}
_DATASETS: Final = {"egoexo4d": "Ego-Exo4D", "ego4d": "Ego4D", "realworld": "RealWorld"}
_DIGITS: Final = 16
"""Of a digest, in a folder's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A store that encoders are tested on."""

    number: int
    name: str
    store: StoreIdentity
    dataset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FitTask:
    """A pretraining run to make.

    Attributes:
        key: of the run.
        title: what it is, for people.
        config: of the run.
        store: pinned to a version.
        mask: its name.
        folder: where the run is, or will be.
    """

    key: str
    title: str
    config: FitConfig
    store: str
    mask: str | None
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTask:
    """A probe to make of a run's encoder, for one or more numbers of shots.

    Attributes:
        key: digest of the run's key, the tested version and the config.
        title: what it is, for people.
        fit: key of the run.
        store: pinned to a version.
        config: of the probe.
        untrained: whether the encoder gets its first weights back.
        prompts: file of the classes' sentences, where its head starts.
        folder: where the result is, or will be.
    """

    key: str
    title: str
    fit: str
    store: str
    config: ProbeConfig
    untrained: bool
    prompts: Path | None
    folder: Path

    @property
    def points(self) -> int:
        """How many rows of the table it gives."""
        return len(self.config.shots) * len(self.config.eval_splits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A method on a panel: one line of a figure, or at one share one point of it.

    Attributes:
        method: which.
        panel: where it is tested.
        fit: key of the run.
        share: of train segments whose video and text are shown, where the study varies it.
        mask: that hides those of the others.
        probes: keys of its probes; together they have all shots.
    """

    method: Method
    panel: Panel
    fit: str
    share: float | None
    mask: MaskRecord | None
    probes: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Plan:
    """All that a study makes; what several lines need is there once."""

    settings: StudySettings
    panels: tuple[Panel, ...]
    fits: dict[str, FitTask] = field(default_factory=dict)
    probes: dict[str, ProbeTask] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    @property
    def points(self) -> int:
        """How many rows the table will have."""
        return sum(self.probes[key].points for line in self.lines for key in line.probes)


def make_plan(settings: StudySettings, *, out: Path, reuse: Sequence[Path] = ()) -> Plan:
    """Return a study's plan; no array is read.

    Args:
        settings: of the study.
        out: its folder; runs go to ``out/runs``, probes to ``out/probes``.
        reuse: folders of runs made elsewhere, used in place where their keys are wanted.

    Raises:
        UsageError: if a store, mask or field is wrong, or a run to reuse is no finished run.
    """
    panels = _open_panels(settings)
    if settings.prompts is not None:
        read_prompts(settings.prompts)  # what is wrong with it is better told now
    plan = Plan(settings=settings, panels=panels)
    elsewhere = {_finished_key(folder): folder for folder in reuse}
    trained_on = panels[0].store
    masks: dict[float, MaskRecord | None] | None = None
    if settings.study == "data-efficiency":
        masks = find_masks(trained_on, shares=settings.shares, named=settings.masks)
    for method in _METHODS[settings.study]():
        config = make_method_config(
            method, file=settings.config_file, overrides=settings.fit_overrides
        )
        for share, mask in [(None, None)] if masks is None else masks.items():
            title = method.title if share is None else f"{method.title} at {100 * share:g} %"
            key = config.key(
                version=trained_on.version, mask_sha256=None if mask is None else mask.sha256
            )
            task = FitTask(
                key=key,
                title=title,
                config=config,
                store=trained_on.pinned,
                mask=None if mask is None else mask.spec.name,
                folder=elsewhere.get(key, out / "runs" / key[:_DIGITS]),
            )
            plan.fits.setdefault(key, task)
            for panel in panels:
                probes = _make_probes(method, panel=panel, fit=task, settings=settings, out=out)
                plan.probes |= {probe.key: probe for probe in probes}
                plan.lines.append(
                    Line(
                        method=method,
                        panel=panel,
                        fit=key,
                        share=share,
                        mask=mask,
                        probes=tuple(probe.key for probe in probes),
                    )
                )
    return plan


def _open_panels(settings: StudySettings) -> tuple[Panel, ...]:
    stores = [identify_store(ref) for ref in settings.stores]
    versions = [store.version for store in stores]
    if len(set(versions)) != len(versions):
        raise UsageError(f"stores must be of different versions, got {', '.join(versions)}")
    datasets = [read_manifest(open_root(store.uri), store.version).dataset for store in stores]
    names = list(settings.panel_names)
    for dataset, version in zip(datasets, versions, strict=True):
        if settings.panel_names:
            break
        name = _DATASETS.get(dataset, dataset)
        names.append(name if datasets.count(dataset) == 1 else f"{name} {version[:6]}")
    return tuple(
        Panel(number=number, name=name, store=store, dataset=dataset)
        for number, (name, store, dataset) in enumerate(zip(names, stores, datasets, strict=True))
    )


def _finished_key(folder: Path) -> str:
    path = folder / RUN
    record: dict[str, Any] = read_json(path) if path.is_file() else {}
    if not record.get("finished"):
        raise UsageError(f"run to reuse must be the folder of a finished run, got {folder}")
    return str(record["key"])


def _make_probes(
    method: Method, *, panel: Panel, fit: FitTask, settings: StudySettings, out: Path
) -> list[ProbeTask]:
    config = settings.probe
    if method.untrained:
        config = config.model_copy(update={"protocol": "finetune", "representation": "auto"})
    # Features are computed once for all shots; where the encoder itself is trained there is
    # nothing to share, and a number of shots is a piece of work that need not be done again.
    runs = [(k,) for k in config.shots] if config.protocol == "finetune" else [config.shots]
    prompts = settings.prompts if _starts_at_prompts(config, method) else None
    tasks = []
    for shots in runs:
        asked = config.model_copy(update={"shots": shots})
        identity = {
            "run": fit.key,
            "version": panel.store.version,
            "untrained": method.untrained,
            "config": asked.model_dump(mode="json"),
            "prompts": None if prompts is None else file_sha256(prompts),
        }
        key = sha256_hex(canonical_json(identity))
        tasks.append(
            ProbeTask(
                key=key,
                title=f"{method.title if method.untrained else fit.title} on {panel.name}",
                fit=fit.key,
                store=panel.store.pinned,
                config=asked,
                untrained=method.untrained,
                prompts=prompts,
                folder=out / "probes" / key[:_DIGITS],
            )
        )
    return tasks


def _starts_at_prompts(config: ProbeConfig, method: Method) -> bool:
    return not method.untrained and config.protocol in {"published", "finetune"}
