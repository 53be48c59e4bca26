"""What a preference dataset will teach a target, which rows teach it, and how to stop it."""
