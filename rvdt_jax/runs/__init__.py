"""From settings to a run directory: data, training, evaluation and records meet here."""
