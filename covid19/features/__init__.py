"""Records to vectors: augmentation, extraction, the feature cache and the feature array on disk."""
