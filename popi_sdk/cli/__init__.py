"""14. The command `popi`: signals in, summary, personalised answer out, from a shell."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from ..errors import MissingExtraError, needs_extra

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its code.

    Args:
        args: What stands behind `popi`; None for what the process was called with.

    Raises:
        SystemExit: Always: 0 done, 1 a bug (with its traceback), 2 wrong input, 3 a backend failed, 130 interrupted.
    """
    try:
        with needs_extra("cli"):
            from .app import run
    except MissingExtraError as error:
        sys.stderr.write(f"popi: {error}\n")
        sys.exit(2)
    run(sys.argv[1:] if args is None else args)
