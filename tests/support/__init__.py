"""What the tests share. Imported by conftest.py before any of them, and so before torch is."""

import os

# OpenMP reads it when torch is loaded: threads that wait give their core back. Without it these tests take 10 times as
# long on a machine that does other work too.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
