"""Card."""


def text(notes):
    return ""
