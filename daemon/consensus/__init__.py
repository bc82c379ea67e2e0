"""The replicated log: the consensus port, the log store, and the shell that drives them."""
