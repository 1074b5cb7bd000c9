"""What people and programs read of a run: results.json, report.md and report.html."""

from __future__ import annotations

from .write import RESULTS, to_json, write_report

__all__ = ["RESULTS", "to_json", "write_report"]
