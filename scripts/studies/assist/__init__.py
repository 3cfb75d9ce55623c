"""The assistive mobile manipulator: `study.py` runs it, the other files are its parts."""
