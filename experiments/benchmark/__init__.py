"""What an update costs, beside PyTorch, and where the time goes: the room of ``experiments/benchmark.py``."""
