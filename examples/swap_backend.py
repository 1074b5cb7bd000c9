"""The same code with any backend: only the string changes.

python examples/swap_backend.py                                    # local: offline, no key
python examples/swap_backend.py openai:gpt-5-mini                  # wants OPENAI_API_KEY
python examples/swap_backend.py anthropic:claude-haiku-4-5         # wants ANTHROPIC_API_KEY
python examples/swap_backend.py compatible:qwen3@http://localhost:8000/v1
"""

import sys

from popi_sdk import Personalizer, PopiError

USERS = {
    "Ana": ["Keep answers short: one or two sentences."],
    "Ben": ["Give long, detailed answers.", {"attributes": {"occupation": "network engineer"}}],
}


def main() -> None:
    """Answer one question for two users with the backend that the command line names."""
    backend = sys.argv[1] if len(sys.argv) > 1 else "local"
    try:
        with Personalizer(generator=backend, options={"max_tokens": 48}) as popi:
            for name, signals in USERS.items():
                answer = popi.personalize(signals, "What is a firewall?")
                print(f"--- {name}, answered by {answer.model}, {answer.usage.output_tokens} tokens: {answer.summary}")
                print(answer.text, end="\n\n")
    except PopiError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
