"""``primus-prep embed-prompts``: sentences that describe classes, embedded for zero-shot."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from flows.commands import Handler, tell
from schemas.errors import UsageError

__all__ = ["PROMPTS_EXAMPLES", "add_prompts_parser", "run_embed_prompts"]

PROMPTS_EXAMPLES: Final = (
    "--encoder Searchium-ai/clip4clip-webvid150k --labels egoexo4d --out prompts.json",
    '--encoder encoder --labels "cook,play music,juggle" --out prompts.json',
    "--encoder encoder --sentences mine.yaml --out prompts.json --json",
)


def add_prompts_parser(
    parser: argparse.ArgumentParser, *, finish: Callable[[argparse.ArgumentParser, Handler], None]
) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--encoder", required=True, metavar="NAME_OR_DIR", help="that of the store's sentences"
    )
    parser.add_argument("--revision", metavar="R", help="of a hub name")
    parser.add_argument(
        "--labels",
        metavar="LABEL,...",
        help="classes, or a dataset for all of its: egoexo4d, ego4d, realworld. A class that we "
        "have no sentences of is put into templates",
    )
    parser.add_argument(
        "--sentences",
        type=Path,
        metavar="FILE",
        help="YAML or JSON with a list of sentences for each class, instead of ours",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.json")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="auto",
        help="of the encoder",
    )
    finish(parser, run_embed_prompts)


def run_embed_prompts(args: argparse.Namespace) -> int:
    """Embed the sentences of classes into a file."""
    from pipelines.config import EncoderConfig
    from pipelines.encoders.embed_prompts import embed_prompts
    from pipelines.encoders.registry import open_encoder
    from pipelines.storage.files import write_atomic
    from pipelines.text.prompts import CLASS_PROMPTS, choose_prompts

    labels = _expand(() if args.labels is None else args.labels.split(","))
    given = {} if args.sentences is None else _read_sentences(args.sentences)
    prompts = choose_prompts(labels, given=given)
    encoder = open_encoder(
        EncoderConfig(
            name=args.encoder,
            revision=args.revision,
            device=args.device,
            precision=args.precision,
        )
    )
    if encoder is None:
        raise UsageError("embed-prompts needs an encoder, got none")
    found = embed_prompts(prompts, encoder=encoder)
    write_atomic(args.out, (found.model_dump_json() + "\n").encode())
    from_templates = sorted(set(prompts) - set(CLASS_PROMPTS) - set(given))
    report = {
        "out": str(args.out),
        "classes": {label: len(said) for label, said in prompts.items()},
        "from_templates": from_templates,
        "encoder": found.encoder.model_dump(mode="json"),
    }
    text = f"{len(found.prompts)} sentences of {len(prompts)} classes in {args.out}"
    if from_templates:
        text += f"; from templates, as we have none: {', '.join(from_templates)}"
    return tell(args, report, text)


def _expand(words: Sequence[str]) -> list[str]:
    """Return the classes that words name, those of a dataset in its place."""
    from pipelines.datasets.realworld import REALWORLD_LABELS
    from pipelines.segments.ego4d_labels import EGO4D_LABELS
    from pipelines.segments.labels import EGOEXO4D_LABELS

    of_datasets: Mapping[str, Sequence[str]] = {
        "egoexo4d": EGOEXO4D_LABELS,
        "ego4d": EGO4D_LABELS,
        "realworld": tuple(REALWORLD_LABELS.values()),
    }
    return [label for word in words for label in of_datasets.get(word, (word,))]


def _read_sentences(file: Path) -> dict[str, list[str]]:
    import yaml

    if not file.is_file():
        raise UsageError(f"--sentences must be a file, none found [file={file}]")
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--sentences must be YAML or JSON, got {type(error).__name__} [file={file}]"
        ) from error
    if not isinstance(said, dict) or not all(
        isinstance(label, str)
        and isinstance(sentences, list)
        and all(isinstance(sentence, str) for sentence in sentences)
        for label, sentences in said.items()
    ):
        raise UsageError(f"--sentences must hold a list of sentences for each class [file={file}]")
    return said
