"""Lungs: where they are in a picture (found by a network, or drawn by somebody), and pictures with them hidden."""
