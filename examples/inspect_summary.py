"""A summary is something to look at: which signal is behind which sentence, what a smaller budget keeps, JSON.

python examples/inspect_summary.py
"""

from popi_sdk import HeuristicInferrer, PreferenceSummary, as_signals

SIGNALS = as_signals(
    [
        {
            "prompt": "What is DNS?",
            "chosen": "A phone book.",
            "rejected": "A hierarchical, distributed naming system " * 3,
        },
        {"before": "A VPN is an encrypted tunnel between a device and a remote server.", "after": "A private tunnel."},
        {"kind": "rating", "text": "Tabs are better than spaces.", "score": "agree"},
        {"question": "Do you like examples?", "answer": "Yes, one from daily life."},
        {"attributes": {"occupation": "nurse"}},
        "No emoji.",
    ]
)


def main() -> None:
    """Infer without a model: no weights, no key, no network."""
    inferrer = HeuristicInferrer()
    summary = inferrer.infer(SIGNALS, budget=300)
    kinds = {signal.id: signal.kind for signal in SIGNALS}
    for statement in summary.statements:
        print(f"{statement.text:<48} <- {', '.join(kinds[one] for one in statement.evidence)}")
    print(f"\n{summary.tokens} of {summary.budget} tokens ({summary.tokenizer}: UTF-8 bytes, an upper bound)")
    print(f"{summary.signals_used} of {summary.signals_total} signals read; digest {summary.evidence_digest[:12]}...")
    print(f"with a budget of 60: {inferrer.infer(SIGNALS, budget=60)}")
    assert PreferenceSummary.from_json(summary.to_json()) == summary
    print(f"as JSON: {summary.to_json()[:70]}...")


if __name__ == "__main__":
    main()
