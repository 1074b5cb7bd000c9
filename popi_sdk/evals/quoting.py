"""Does a summary describe its user, or quote them? The words that it has in common with their signals."""

from __future__ import annotations

__all__ = ["longest_quote", "overlap"]

GRAM = 4
"""Words in a row that count as quoted where they stand in the signals."""


def overlap(summary: str, signals: str) -> float:
    """Share of the summary's 4-grams of words that stand in the signals; 0 for a summary of fewer words."""
    grams, known = _grams(_words(summary)), set(_grams(_words(signals)))
    return sum(gram in known for gram in grams) / len(grams) if grams else 0.0


def longest_quote(summary: str, signals: str) -> int:
    """Most words of the summary that stand in the signals in a row, too."""
    words, text = _words(summary), _row(_words(signals))
    longest = 0
    for start in range(len(words)):
        while (end := start + longest) < len(words) and _row(words[start : end + 1]) in text:
            longest += 1
    return longest


def _words(text: str) -> list[str]:
    """Words without case and marks: who quotes with another comma quotes."""
    words = ["".join(char for char in word.lower() if char.isalnum()) for word in text.split()]
    return [word for word in words if word]


def _row(words: list[str]) -> str:
    """Words as a text in which a row of them is found where they stand in a row, and nowhere else."""
    return f" {' '.join(words)} "


def _grams(words: list[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + GRAM]) for at in range(len(words) - GRAM + 1)]
