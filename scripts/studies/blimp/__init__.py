"""Altitude control of a blimp by spiking networks (arXiv 2309.12937); `study.py` runs it, the others are parts."""
