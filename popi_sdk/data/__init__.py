"""9. Users with signals and held-out pairs: your own files, the paper's benchmarks, generated worlds."""

from .benchmarks import BENCHMARKS, Benchmark
from .lines import MAX_LINE
from .open import SPLITS, WORLDS, Dataset, open_data
from .read import read_users, write_users
from .record import MAX_PAIRS, HeldOutPair, UserRecord, digest_of

__all__ = [
    "BENCHMARKS",
    "MAX_LINE",
    "MAX_PAIRS",
    "SPLITS",
    "WORLDS",
    "Benchmark",
    "Dataset",
    "HeldOutPair",
    "UserRecord",
    "digest_of",
    "open_data",
    "read_users",
    "write_users",
]
