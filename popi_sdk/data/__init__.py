"""9. Users with signals and held-out pairs: your own files, the paper's benchmarks, generated worlds."""

from .lines import MAX_LINE
from .read import read_users, write_users
from .record import MAX_PAIRS, HeldOutPair, UserRecord

__all__ = ["MAX_LINE", "MAX_PAIRS", "HeldOutPair", "UserRecord", "read_users", "write_users"]
