"""Scoring is the first thing that asks for torch, and says what to install."""

from __future__ import annotations

from support.scripts import run


def test_without_the_extra() -> None:
    script = """
    import sys
    import popi_sdk
    assert "torch" not in sys.modules
    sys.modules["torch"] = None
    try:
        import popi_sdk.scoring
    except popi_sdk.MissingExtraError as error:
        print(error)
    """
    done = run(script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "'torch' is not installed. Run: pip install 'popi-sdk[hf]'\n"


def test_import_is_quiet() -> None:
    script = "from popi_sdk.scoring import Scorer; import sys; print('transformers' in sys.modules)"
    done = run(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
