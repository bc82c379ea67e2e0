"""Typed structs, enums and errors that every other layer shares. No I/O."""
