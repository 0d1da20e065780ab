"""Algorithms: how a batch changes a state. Importing the package loads no JAX."""
