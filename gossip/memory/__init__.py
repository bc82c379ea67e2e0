"""A network in memory: links that lose, delay, repeat, reorder and cut, and a world of members in virtual time."""
