"""VGG16: everything that is its own, such as layer names and shapes, preprocessing and weights."""
