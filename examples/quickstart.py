"""From signals to an answer: what a user left behind, the summary inferred from it, and an answer that follows it.

python examples/quickstart.py
"""

from popi_sdk import Edit, Personalizer, PreferencePair, Statement

SIGNALS = [
    PreferencePair(
        prompt="What is DNS?",
        chosen="The internet's phone book.",
        rejected="The Domain Name System is a hierarchical, distributed naming system that maps human-readable names "
        "to numerical addresses, with the help of resolvers, root servers and authoritative servers.",
    ),
    Edit(
        before="A VPN establishes an encrypted tunnel between your device and a remote server. Everything that you "
        "send or receive travels through it, so that nobody on the way can read your traffic.",
        after="A VPN is a private tunnel for your traffic.",
    ),
    Statement(text="Use everyday words."),
]
QUESTION = "How does HTTPS work?"


def main() -> None:
    """Answer one question twice: as anybody would get it, and for this user."""
    with Personalizer(options={"max_tokens": 48}) as popi:
        plain = popi.generator.generate(QUESTION, popi.options)
        answer = popi.personalize(SIGNALS, QUESTION)
    print(f"Question      {QUESTION}")
    print(f"Plain         {plain.text}\n")
    print(f"Summary       {answer.summary} ({answer.summary.tokens} of {answer.summary.budget} tokens)")
    print(f"Personalised  {answer.text}")
    print(f"Cost          {answer.context_tokens} more tokens in the prompt, {answer.latency:.1f} s in all")


if __name__ == "__main__":
    main()
