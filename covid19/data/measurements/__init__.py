"""What is measured of each image when its file is decoded, for the audit's probes: one file a measurement."""
