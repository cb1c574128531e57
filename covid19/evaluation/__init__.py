"""Numbers and their intervals: metrics, bootstrap, calibration, cross-validation and the estimate of all together."""
