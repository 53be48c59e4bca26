"""What can be done in a lab: typed functions that command line, REST, MCP, page, agent and Python all mount."""
