"""The commands, one module each. `cli/registry.py` lists them and says what a command is."""
