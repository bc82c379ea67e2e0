"""SWIM membership with Lifeguard, tags, intents, queries, events and encryption; a library of its own."""
