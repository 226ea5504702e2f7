"""Grading a class of notebooks."""
