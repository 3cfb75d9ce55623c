"""Navigation as systematic search (arXiv 2410.01349): `study.py` runs it, the other files are its parts."""
