"""Evaluation: batched rollouts of a saved or training policy, and D4RL's scores."""
