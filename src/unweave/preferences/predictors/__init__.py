"""Predictors: from a dataset, before training, to what will change."""
