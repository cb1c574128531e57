"""The shortcut audit: probes, sources, the verdict and the run of all together."""
