"""Made preference datasets, whose key the tool never sees."""
