"""Fingerprinters: small probes, each finding one kind of facts about the machine."""
