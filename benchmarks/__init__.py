"""Every figure of docs/performance.md, one module each: `python -m benchmarks.NAME`, or all: `python -m benchmarks`."""
