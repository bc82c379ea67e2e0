"""Endpoints: the handlers of the methods that servers answer, one file per noun."""
