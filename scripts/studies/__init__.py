"""Studies: a folder each, found by its name; its `study.py` has `TITLE` and `run(study)`."""
