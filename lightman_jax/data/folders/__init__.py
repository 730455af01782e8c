"""Folders of a download, and the order of the images in them."""
