"""What is shown: objects in, lines of text out. Pure; no connection, clock or terminal."""
