"""Studies: one file a paper, found by file name; each has `TITLE` and `run(study)`."""
