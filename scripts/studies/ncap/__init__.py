"""The worm's circuit that swims (arXiv 2201.05242): `study.py` runs it, the other files are its parts."""
