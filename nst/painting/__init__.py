"""Painting from coarse to fine."""
