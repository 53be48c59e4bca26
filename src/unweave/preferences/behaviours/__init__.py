"""Behaviours: what can be counted in a reply."""
