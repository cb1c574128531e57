"""Making data sets: from published collections, and of phantoms."""
