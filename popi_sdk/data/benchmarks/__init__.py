"""The four benchmarks of the POPI paper (arXiv 2510.17881), from the Hugging Face hub or from local files.

| name | data set on the hub | a user is | signals | columns |
| --- | --- | --- | --- | --- |
| `elix` | `Asap7772/elix_generations_autolabel` | a block of 5 rows of one `scorer_level` | 4 pairs | `prompt`, `response_x`, `response_y`, `label`, `level_x`, `level_y`, `scorer_level` |
| `review` | `Asap7772/steered_reviews_full_autolabel_gpt4o_pref` | a block of 5 rows of one `scorer_level` | 4 pairs | `prompt`, `response_x`, `response_y`, `label`, `level_x`, `level_y`, `scorer_level` |
| `roleplay` | `sher222/persona-iterative-responses` | a block of 9 rows of one `level` | 8 pairs | `x`, `yw`, `yl`, `level`, `score_persona` |
| `alignx` | `JinaLeejnl/AlignX`; its test split is `JinaLeejnl/AlignX-test` | a row | profile text, comments, pairs | `prompt`, `chosen`, `rejected`, `Demographic Information`, `User-Generated Content`, `Pair-wise Comparative Feedback`, `Preference Direction` |
"""  # noqa: E501 - one row of a table is one line

from .catalog import BENCHMARKS, Benchmark
from .source import open_benchmark

__all__ = ["BENCHMARKS", "Benchmark", "open_benchmark"]
