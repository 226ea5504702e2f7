"""The code behind the lab; one folder for each part of it."""


def load_ipython_extension(ipython):
    """Turn the kernel of `ipython` into one of 2018: what `%load_ext nst` calls."""
    from nst.lab.tf1 import (
        load_ipython_extension as load,
    )  # here, so that `python -m nst` starts quickly

    load(ipython)
