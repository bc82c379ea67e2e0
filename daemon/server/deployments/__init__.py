"""Watching deployments: the rules, and the leader's service that acts on them."""
