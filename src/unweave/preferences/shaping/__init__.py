"""Ways to stop or strengthen what a dataset teaches: rows, tokens, rewards, steering, inoculation."""
