"""The inpainting set: an object of a photo replaced by one of another class."""
