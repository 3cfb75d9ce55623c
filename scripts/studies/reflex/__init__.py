"""A reflex circuit that swims: `study.py` runs it, the other file draws."""
