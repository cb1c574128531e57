"""Asking a saved model: the predictor and the writers of its answers."""
