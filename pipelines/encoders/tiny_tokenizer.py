"""A small CLIP tokenizer made from sentences of everyday actions."""

from collections import Counter
from itertools import pairwise
from typing import Final

from transformers import CLIPTokenizer

from pipelines.encoders.bpe_vocabulary import WORD_END, number_tokens

__all__ = ["make_tokenizer"]

_MERGES: Final = 700

_SUBJECTS: Final = ("she", "he", "the man", "the woman", "the person")
_ACTIONS: Final = (
    "picks up", "puts down", "holds", "moves", "turns", "opens", "closes", "cuts", "peels",
    "stirs", "pours", "washes", "wipes", "throws", "catches", "kicks", "bounces", "passes",
    "dribbles", "shoots", "plays", "strums", "presses", "looks at", "walks towards", "runs to",
    "climbs", "grips", "steps on", "jumps over", "dances with", "swings", "lifts", "lowers",
    "removes", "tightens", "loosens", "cleans", "checks", "fixes", "rotates", "shakes", "adjusts",
    "places", "takes", "gets", "inserts", "connects", "reaches for", "stretches",
)  # fmt: skip
_OBJECTS: Final = (
    "the knife", "the tomato", "the cucumber", "the onion", "the egg", "the pan", "the pot",
    "the bowl", "the spoon", "the cup", "the water", "the milk", "the salt", "the ball",
    "the basketball", "the soccer ball", "the hoop", "the wheel", "the bicycle chain",
    "the tire lever", "the pump", "the guitar", "the piano keys", "the violin bow", "the rock",
    "the climbing hold", "the wall", "the floor", "the test kit", "the swab", "the box",
    "the bottle", "the paper", "the phone", "the mannequin", "the chest", "the door", "the table",
    "the countertop", "the cutting board", "something",
)  # fmt: skip
_MANNERS: Final = (
    "with his right hand", "with her left hand", "with both hands", "with the right foot",
    "from the counter", "on the table", "into the bowl", "to the left", "to the right",
    "towards the camera wearer", "around the room", "in front of him", "again", "slowly",
)  # fmt: skip


def make_tokenizer() -> CLIPTokenizer:
    """Return a byte-pair tokenizer that knows common words whole and every other by its bytes.

    Layout as CLIP's: 256 bytes, the same at a word's end, merges, and the two special tokens last.
    """
    merges = _learn_merges(_count_words(), limit=_MERGES)
    return CLIPTokenizer(vocab=number_tokens(merges), merges=merges, model_max_length=77)


def _count_words() -> Counter[str]:
    words: Counter[str] = Counter()
    for phrases in (_SUBJECTS, _ACTIONS, _OBJECTS, _MANNERS):
        for phrase in phrases:
            words.update(phrase.split())
    return words


def _learn_merges(words: Counter[str], *, limit: int) -> list[tuple[str, str]]:
    """Return merges, most frequent pair first, ties by the pair itself (Sennrich et al. 2016)."""
    pieces = {word: (*word[:-1], word[-1] + WORD_END) for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < limit:
        counts: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                counts[pair] += words[word]
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = {word: _merge(parts, best) for word, parts in pieces.items()}
    return merges


def _merge(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)
