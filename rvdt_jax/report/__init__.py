"""Reports: the record files of a run, and tables and pictures made from them alone. Importing it loads no JAX."""
