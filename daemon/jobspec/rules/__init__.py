"""Rules on a finished job, by what they look at. `daemon.jobspec.validate` runs them all."""
