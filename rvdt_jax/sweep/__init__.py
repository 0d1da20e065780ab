"""Many runs as one grid: the cells of a table, the command of each, and their execution."""
