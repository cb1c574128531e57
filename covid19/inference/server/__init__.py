"""The page and its API: who may ask, uploads, the model in a process of its own."""
