"""D4RL's original HDF5 files: reading, checking, and importing them as Minari data sets."""
