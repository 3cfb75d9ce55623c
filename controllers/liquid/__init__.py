"""Liquid networks: continuous-time cells whose time constants depend on the input (docs/systems/liquid.md)."""
