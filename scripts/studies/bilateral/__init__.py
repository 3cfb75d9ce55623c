"""Arm reaching with two hemispheres (arXiv 2401.14057): `study.py` runs it, the other files are its parts."""
