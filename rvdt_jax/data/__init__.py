"""Logged data: sources -> checked episodes -> the device-resident store -> windows. Importing it loads no JAX."""
