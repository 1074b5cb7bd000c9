"""From a cold process to the first personalised token with `local`: `python -m benchmarks.cold_start`.

Broken down into interpreter, import, engine, summary, prompt and first token. The rival does by hand, with llama.cpp
alone and the same plain prompt, what cannot be avoided: import, load, first token. Both run in turn.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from popi_sdk.models import resolve_gguf

from .report import ROOT, spread, table

ROUNDS = 9
STAGES = ("interpreter", "import", "engine", "summary", "prompt", "first token")

OURS = """
import sys, time
marks = [float(sys.argv[1]), time.time()]
from popi_sdk import Personalizer, read_signals
from popi_sdk.prompts import render_with_summary
marks.append(time.time())
popi = Personalizer()
popi.generator.start()
marks.append(time.time())
summary = popi.infer(read_signals(sys.argv[2]))
marks.append(time.time())
messages = render_with_summary("How does HTTPS work?", summary)
marks.append(time.time())
with popi.generator.stream(messages) as stream:
    next(stream)
    marks.append(time.time())
popi.close()
print([b - a for a, b in zip(marks, marks[1:])])
"""

BARE = """
import os, sys, time
marks = [float(sys.argv[1]), time.time()]
import xllamacpp
marks.append(time.time())
params = xllamacpp.CommonParams()
params.model.path = sys.argv[2]
params.n_ctx, params.n_parallel, params.warmup, params.verbosity, params.api_keys = 4096, 1, False, -1, ["key"]
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count()
server = xllamacpp.Server(params)
marks.append(time.time())
def first(event):
    if event["choices"][0]["delta"].get("content"):
        marks.append(time.time())
        return True
request = {"messages": [{"role": "user", "content": "How does HTTPS work?"}], "temperature": 0, "stream": True}
server.handle_chat_completions(request, first)
print([b - a for a, b in zip(marks, marks[1:])])
"""


def run(code: str, argument: str) -> list[float]:
    """Seconds of each stage in a fresh process."""
    command = [sys.executable, "-c", code, str(time.time()), argument]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return [float(value) for value in json.loads(output)]


def main() -> None:
    model = str(resolve_gguf(None))
    signals = str(ROOT / "examples" / "data" / "short.jsonl")
    ours, bare = [], []
    for _ in range(ROUNDS + 1):
        ours.append(run(OURS, signals))
        bare.append(run(BARE, model))
    ours, bare = ours[1:], bare[1:]
    by_hand = {"interpreter": 0, "import": 1, "engine": 2, "first token": 3}
    rows = [
        (
            stage,
            spread([values[index] for values in ours]),
            spread([values[by_hand[stage]] for values in bare]) if stage in by_hand else "-",
        )
        for index, stage in enumerate(STAGES)
    ]
    totals = [sum(values) for values in ours], [sum(values) for values in bare]
    rows.append(("**all**", spread(totals[0]), spread(totals[1])))
    table("Cold process to the first token", ("stage", f"popi_sdk, median of {ROUNDS}", "llama.cpp by hand"), rows)
    print(f"\npopi_sdk / by hand: {statistics.median(totals[0]) / statistics.median(totals[1]):.2f}")


if __name__ == "__main__":
    main()
