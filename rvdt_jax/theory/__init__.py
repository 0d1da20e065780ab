"""The theory of return-conditioned policies on tabular MDPs, where every quantity is exact; NumPy alone."""
