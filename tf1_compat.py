"""The old name of nst.lab.tf1, for notebooks that say `%load_ext tf1_compat`."""

from nst.lab.tf1 import load_ipython_extension

__all__ = ["load_ipython_extension"]
