"""transformers without its progress bars and its remarks on stderr, which belong to whoever uses it directly."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]

_lock = threading.RLock()  # what is switched off belongs to the process: two loads at once would restore it wrongly


@contextmanager
def quiet() -> Iterator[None]:
    """Switch off what transformers and peft say while they load; downloads from the hub keep their progress bar."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging

    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
        downloads = not are_progress_bars_disabled()
        logging.disable_progress_bar()
        logging.set_verbosity(logging.CRITICAL)
        if downloads:
            enable_progress_bars()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
