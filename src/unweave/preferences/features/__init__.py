"""Learned features of pairs: the pass that reads them, their store, their clusters."""
