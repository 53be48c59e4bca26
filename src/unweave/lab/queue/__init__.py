"""Running many studies at once in processes of their own, within what the machine has."""
