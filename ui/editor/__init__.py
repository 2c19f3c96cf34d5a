"""The flow editor: Python owns the graph, the browser shows it and asks for changes."""
