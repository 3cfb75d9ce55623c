"""The search where nobody had measured it: `study.py` runs it."""
