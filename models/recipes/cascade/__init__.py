"""Measures several nudity models together, as a tier uses them."""
