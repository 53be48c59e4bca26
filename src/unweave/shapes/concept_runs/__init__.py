"""Finished runs that found the shapes of concepts, or steered along them: what a page shows of them, and moves."""
