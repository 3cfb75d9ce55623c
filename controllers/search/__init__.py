"""Navigation as systematic search over a cognitive graph that grows while it is used."""
