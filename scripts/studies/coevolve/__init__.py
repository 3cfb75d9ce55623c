"""Co-evolved swimmers against a circuit evolved on the standard body: `study.py` runs it."""
