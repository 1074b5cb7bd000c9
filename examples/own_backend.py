"""Two ways to bring a model of your own: wrap a function, or write a `Generator`.

python examples/own_backend.py
"""

from popi_sdk import FunctionGenerator, Generation, GenerationOptions, Generator, Message, Personalizer, Usage
from popi_sdk.messages import Prompt, as_messages

SIGNALS = ["Keep it short, please."]


def shout(messages: list[Message], options: GenerationOptions) -> str:
    """A function from messages to text; it may be async, too."""
    words = messages[-1]["content"].splitlines()[0].upper().split()
    return " ".join(words[: options.max_tokens])


class Counting(Generator):
    """The least that a backend needs: a name, a model, and `generate`. Async and streaming come with the base class."""

    backend = "counting"
    model = "counting-1"

    def generate(
        self,
        messages: Prompt,
        options: GenerationOptions | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> Generation:
        """Answer with the number of words that it was given."""
        words = sum(len(message["content"].split()) for message in as_messages(messages))
        return Generation(text=f"You sent {words} words.", model=self.model, usage=Usage(words, 4))


def main() -> None:
    """Use each of them in a Personalizer; as a prompted inferrer they work in the same way."""
    for backend in (FunctionGenerator(shout), Counting()):
        with backend, Personalizer(generator=backend) as popi:
            answer = popi.personalize(SIGNALS, "How does HTTPS work?")
            print(f"{backend!r}: {answer.text} (context: {answer.context_tokens}, counted by {answer.counted_by})")


if __name__ == "__main__":
    main()
