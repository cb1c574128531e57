"""Changes of an image for augmented copies: one file for each, listed in `registry.py`."""
