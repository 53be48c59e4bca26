"""A planner that proposes and runs experiments within a budget, and never judges them."""
