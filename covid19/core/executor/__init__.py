"""Where work runs: this machine, processes that can be ended, or a Ray cluster."""
