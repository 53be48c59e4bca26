"""Recomputing what runs claim, from their files alone."""
