"""`python -m popi_sdk`: the command `popi`, for what starts modules, as `accelerate launch` and `torchrun` do."""

from .cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
