"""Acting with trained parameters: a rollout and a user's own loop share one step."""
