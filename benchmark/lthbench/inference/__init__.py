"""Passes of networks over images: clean, corrupted and attacked."""
