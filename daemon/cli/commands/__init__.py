"""One module per command or small family of commands; loaded when one of them is called."""
