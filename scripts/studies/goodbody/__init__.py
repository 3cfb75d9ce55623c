"""Good bodies make easy control (arXiv 2108.08398): `study.py` runs it, the other files are its parts."""
