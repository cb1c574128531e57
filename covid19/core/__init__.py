"""What knows no image: errors, console, settings, safe files, paths and addresses, Keras start-up."""
