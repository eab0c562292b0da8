"""Signed lists of known material."""
