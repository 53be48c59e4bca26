"""Many runs of one study over a space of configs, and their comparison."""
