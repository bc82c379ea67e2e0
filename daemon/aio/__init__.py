"""Structured concurrency for the shells: scopes that own tasks, retries with jitter, level-triggered signals."""
