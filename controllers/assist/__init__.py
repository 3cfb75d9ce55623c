"""Scripted experts of the assistive tasks: what can be reached with the true state. Begin with `expert`."""
