"""popi_sdk: any language model, answering the way this user likes it."""

__version__ = "0.1.0"
