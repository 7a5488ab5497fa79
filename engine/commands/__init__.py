"""One module a command: a typed function, callable from Python."""
