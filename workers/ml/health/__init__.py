"""Numerics of a dataset's health: which images look wrong, and what gives the classes away without any anatomy."""
