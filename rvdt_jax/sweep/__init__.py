"""Many runs as one grid: which cells a table has, the command of each, and how they are run, one after another."""
