"""Vectors to a model file and back: head, saving, loading, novelty, Grad-CAM and export."""
