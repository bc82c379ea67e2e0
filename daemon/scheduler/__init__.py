"""The scheduler: (evaluation, job view, fleet) -> attempt. Pure."""
