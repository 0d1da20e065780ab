"""Training: the state of a seed, the fused update, the scan that drives it, and its checkpoints."""
