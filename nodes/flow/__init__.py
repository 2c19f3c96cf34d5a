"""Streams between flows of one gateway."""
