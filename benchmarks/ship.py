"""Put a trained directory where it is kept, in the package or as a checkpoint to go on from.

    python -m benchmarks.ship TRAINED TARGET [--report RUN... [--without NAME...]] [--samples RUN]

Its weights are rounded to float16, half the bytes. Left behind are the run's own files, the path of what it started
from, and its looks at dev users if they were fewer than 20: figures are those of `--report`, runs of `popi eval`.
`--without` leaves out rows of other models. With `--samples` the summaries on the card are those of that run, of the
model that is called as TARGET: what was measured, not what it wrote when training ended. TARGET is replaced whole.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from popi_sdk.evals.journal import read_rows
from popi_sdk.evals.manifest import SUMMARIES
from popi_sdk.evals.report import RESULTS
from popi_sdk.models.trained import MANIFEST, SHIPPED, read_trained
from popi_sdk.train import write_card
from popi_sdk.train.export import RUN, check_target

FEWEST = 20
SAMPLES = 10


def ship(
    trained: Path,
    target: Path,
    reports: Sequence[Path] = (),
    without: Collection[str] = (),
    samples: Path | None = None,
) -> None:
    """Copy what `read_trained` takes, smaller."""
    read_trained("trained", trained)
    if (
        target.resolve() in (trained.resolve(), *trained.resolve().parents)
        or trained.resolve() in target.resolve().parents
    ):
        raise SystemExit(f"{target} is what is to be copied, or inside of it. Give another place.")
    check_target(target)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(trained, target, ignore=shutil.ignore_patterns(RUN), symlinks=False)
    for file in target.glob("*/*.safetensors"):
        round_weights(file)
    manifest = target / MANIFEST
    facts = json.loads(manifest.read_text(encoding="utf-8"))
    config = facts["config"]
    if config["start"]:
        config["start"] = Path(config["start"]).name
    if config["eval_users"] < FEWEST:
        facts.pop("dev", None)
    if samples is not None:
        facts["samples"] = written(samples, target.name)
    manifest.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        name = target.name if target.name in SHIPPED else str(target)  # what it is loaded by
        fewer = [_rows(one, without, Path(scratch) / str(number)) for number, one in enumerate(reports)]
        write_card(target, name=name, report=fewer)
    print(f"{target}: {sum(one.stat().st_size for one in target.rglob('*') if one.is_file()) / 1e6:.1f} MB")


def written(run: Path, writer: str) -> list[str]:
    """The summaries of a run's first users by one model."""
    texts = [row["text"] for row in read_rows(run / SUMMARIES) if row.get("writer") == writer and row.get("text")]
    if not texts:
        raise SystemExit(f"{run} holds no summaries by {writer!r}.")
    return texts[:SAMPLES]


def _rows(report: Path, without: Collection[str], scratch: Path) -> Path:
    """The report with fewer rows."""
    results = json.loads((report / RESULTS if report.is_dir() else report).read_text(encoding="utf-8"))
    results["rows"] = [row for row in results["rows"] if row["row"].partition(":")[0] not in without]
    scratch.mkdir()
    (scratch / RESULTS).write_text(json.dumps(results), encoding="utf-8")
    return scratch / RESULTS


def round_weights(file: Path) -> None:
    """To float16, in place."""
    from safetensors.torch import load_file, save_file

    save_file({name: weights.half() for name, weights in load_file(file).items()}, file, metadata={"format": "pt"})
    file.chmod(0o644)  # it writes for nobody else to read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--report", type=Path, nargs="+", default=(), metavar="RUN", help="of popi eval, for the card")
    parser.add_argument("--without", nargs="*", default=(), metavar="NAME", help="rows that are left out of it")
    parser.add_argument("--samples", type=Path, metavar="RUN", help="a folder of popi eval, for the card's summaries")
    given = parser.parse_args()
    ship(given.trained, given.target, given.report, given.without, given.samples)


if __name__ == "__main__":
    main()
