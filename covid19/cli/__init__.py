"""The commands: their flags and what the flags accept."""
