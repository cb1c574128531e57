"""Measurements that the documentation quotes; each writes a table with date, commit and hardware into `results`."""
