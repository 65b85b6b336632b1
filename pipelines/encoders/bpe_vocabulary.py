"""CLIP's tokenizer from OpenAI's file of merges."""

import gzip
import zlib
from pathlib import Path
from typing import Final

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from schemas.errors import UsageError
from schemas.limits import LARGEST_MERGES_BYTES

__all__ = ["END_TOKEN", "START_TOKEN", "WORD_END", "number_tokens", "read_bpe_tokenizer"]

START_TOKEN: Final = "<|startoftext|>"
END_TOKEN: Final = "<|endoftext|>"
WORD_END: Final = "</w>"
_FIXED: Final = 2 * 256 + 2


def number_tokens(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Return CLIP's vocabulary: 256 bytes, the same at a word's end, merges, two specials."""
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [
        *alphabet,
        *(letter + WORD_END for letter in alphabet),
        *(a + b for a, b in merges),
        START_TOKEN,
        END_TOKEN,
    ]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


def read_bpe_tokenizer(path: Path, *, vocabulary: int) -> CLIPTokenizer:
    """Return the tokenizer of a file of merges, most frequent first, a heading on its first line.

    The file holds more merges than CLIP learned from: as many count as the vocabulary has room for.

    Args:
        path: gzipped text, a merge a line.
        vocabulary: number of the model's tokens.

    Raises:
        UsageError: if the file is damaged or holds too few merges.
    """
    try:
        with gzip.open(path) as file:
            text = file.read(LARGEST_MERGES_BYTES + 1)
        lines = text.decode().split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"merges must be gzipped text, got {error} [{path}]") from error
    if len(text) > LARGEST_MERGES_BYTES:
        raise UsageError(f"merges must unpack to at most {LARGEST_MERGES_BYTES} bytes [{path}]")
    pairs = [tuple(line.split()) for line in lines[1 : 1 + vocabulary - _FIXED]]
    merges = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
    vocab = number_tokens(merges)
    if len(vocab) != vocabulary:
        raise UsageError(
            f"merges must fill the model's vocabulary of {vocabulary} tokens, got {len(vocab)} "
            f"[{path}]"
        )
    # A merge joins what the bytes or earlier merges made.
    unknown = next((part for pair in merges for part in pair if part not in vocab), None)
    if unknown is not None:
        raise UsageError(
            f"merges must join known tokens, got {unknown.encode('unicode_escape').decode():.50} "
            f"[{path}]"
        )
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)
