"""Assistive tasks: a mobile manipulator beside a person in a wheelchair. Begin with `base`; `reach` is the simplest."""
