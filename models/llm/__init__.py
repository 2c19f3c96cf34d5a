"""A language model in a child process that can do nothing else: its jail, its file, its binding."""
