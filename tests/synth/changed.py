"""A text after its changes, without the machinery that makes candidates of them."""


def changed(text, changes):
    for change in sorted(changes, reverse=True):
        text = text[: change.start] + change.new + text[change.end :]
    return text
