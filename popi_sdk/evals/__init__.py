"""11. Measuring personalisation: rows on the same held-out pairs, figures with intervals, a report.

```python
from popi_sdk.evals import as_config, evaluate, write_report

folder = evaluate(as_config(data="users.jsonl", methods=("raw", "heuristic")), "runs/first")
write_report(folder).row("heuristic").accuracy
```
"""

from __future__ import annotations

from ..errors import needs_extra

with needs_extra("eval"):
    from ..models.trained import TrainedModel, read_trained
    from .compare import Comparison, compare_runs
    from .config import EvalConfig, as_config
    from .methods import DEFAULT_METHODS, UNTRAINED, Method, methods_for
    from .metrics import Interval, bootstrap_mean, paired_difference, ratio_over_users
    from .report import to_json, write_report
    from .results import Results, RowResult, read_results
    from .run import Progress, evaluate

__all__ = [
    "DEFAULT_METHODS",
    "UNTRAINED",
    "Comparison",
    "EvalConfig",
    "Interval",
    "Method",
    "Progress",
    "Results",
    "RowResult",
    "TrainedModel",
    "as_config",
    "bootstrap_mean",
    "compare_runs",
    "evaluate",
    "methods_for",
    "paired_difference",
    "ratio_over_users",
    "read_results",
    "read_trained",
    "to_json",
    "write_report",
]
