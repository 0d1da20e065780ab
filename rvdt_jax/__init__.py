"""RVDT in JAX."""
