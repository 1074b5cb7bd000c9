"""Many users and prompts in one call, sync and async: the order is kept, and one failure does not stop the rest.

python examples/batch.py
"""

import asyncio

from popi_sdk import Personalizer, PopiError

ANA = ["Keep answers short: one sentence."]
BEN = ["Start with the answer.", "Give a concrete example."]
NOBODY: list[str] = []  # no signals: this item fails, the others do not
ITEMS = [(ANA, "What is a firewall?"), (NOBODY, "What is a firewall?"), (BEN, "What is a firewall?")]


async def answers(popi: Personalizer) -> list:
    """`abatch` is `batch`, awaited."""
    return await popi.abatch(ITEMS, concurrency=8)


def main() -> None:
    """Run both; the embedded model takes one request at a time, an API as many as `concurrency` allows."""
    with Personalizer(options={"max_tokens": 40}) as popi:
        results = popi.batch(ITEMS)
        again = asyncio.run(answers(popi))
    for (_, prompt), result, other in zip(ITEMS, results, again, strict=True):
        if isinstance(result, PopiError):
            print(f"- {prompt} failed with {type(result).__name__}: {result}")
            continue
        print(f"- {prompt} [{result.summary}]\n  {result.text!r}")
        print(f"  abatch gave the same text: {result.text == other.text}")


if __name__ == "__main__":
    main()
