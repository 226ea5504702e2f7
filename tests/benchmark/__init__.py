"""Benchmarks: the lab against the course's graph and PyTorch, and the course's published run."""
