"""A saved model for other programs: one file for each format, listed in `registry.py`; `run.py` writes them."""
