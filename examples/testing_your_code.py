"""Test code that personalises, without a model: doubles that answer at once, and a guard against real requests.

python examples/testing_your_code.py
"""

from popi_sdk import Personalizer, RateLimitError
from popi_sdk.testing import EchoGenerator, FixedInferrer, ScriptedGenerator, no_requests


def reply(popi: Personalizer, signals: list[str], question: str) -> str:
    """The code under test: it falls back to a fixed sentence where the provider is busy."""
    try:
        return popi.personalize(signals, question).text
    except RateLimitError:
        return "Please try again in a minute."


def test_the_summary_reaches_the_model() -> None:
    """The echo shows what a model would have read."""
    popi = Personalizer(FixedInferrer("Keep answers short."), EchoGenerator())
    assert "> Keep answers short." in reply(popi, ["anything"], "What is DNS?")


def test_a_busy_provider_is_handled() -> None:
    """An exception in a script is raised when its turn comes."""
    model = ScriptedGenerator([RateLimitError("busy", backend="scripted"), "A phone book."])
    popi = Personalizer(generator=model)
    assert [reply(popi, ["Be brief."], "What is DNS?") for _ in range(2)] == [
        "Please try again in a minute.",
        "A phone book.",
    ]
    assert len(model.calls) == 2


def main() -> None:
    """Run the tests by hand; pytest would find them too."""
    with no_requests():
        for test in (test_the_summary_reaches_the_model, test_a_busy_provider_is_handled):
            test()
            print(f"passed: {test.__name__}")


if __name__ == "__main__":
    main()
