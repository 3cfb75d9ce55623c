"""Imitation of PD and I controllers from recorded flights, by evolution and by surrogate gradients."""
