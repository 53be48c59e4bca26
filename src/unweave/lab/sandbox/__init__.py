"""Running code that nobody has read, without network, files or freedom to spend."""
