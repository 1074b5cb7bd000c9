"""Text as it is written: sync, async, and a stream that is left early.

python examples/streaming.py
"""

import asyncio

from popi_sdk import Personalizer

SIGNALS = ["Keep answers short: one or two sentences.", "Use everyday words."]


def in_a_loop(popi: Personalizer) -> None:
    """The summary is there before the first piece, the whole response after the last."""
    with popi.stream(SIGNALS, "What is a firewall?") as stream:
        print(f"[{stream.summary}]")
        for piece in stream:
            print(piece, end="", flush=True)
    print(f"\n({stream.result.usage.output_tokens} tokens, {stream.result.finish_reason})\n")


async def in_an_event_loop(popi: Personalizer) -> None:
    """Ten pieces are enough here: leaving the block stops the model."""
    async with popi.astream(SIGNALS, "What is a router?") as stream:
        count = 0
        async for piece in stream:
            print(piece, end="", flush=True)
            count += 1
            if count == 10:
                break
    print(" ... (left early)")


def main() -> None:
    """Run both over one model."""
    with Personalizer(options={"max_tokens": 60}) as popi:
        in_a_loop(popi)
        asyncio.run(in_an_event_loop(popi))


if __name__ == "__main__":
    main()
