"""Preference pairs: reading them as others write them, checking and writing them."""
