"""One module per command of `semfid study`, each with `run(arguments) -> int`."""
