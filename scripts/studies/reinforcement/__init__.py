"""The trainers of reinforcement learning beside each other: `study.py` runs it."""
