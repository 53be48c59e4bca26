"""A planner without a language model: words, a design, a search."""
