"""Commands: one file each, runnable as `lancelet NAME` and as `python scripts/NAME.py`."""
