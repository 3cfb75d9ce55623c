"""Spiking networks: the circuit, its compiled loops, and its exchange with other simulators."""
