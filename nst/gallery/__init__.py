"""Painting many pairs, here or on a Dask cluster."""
