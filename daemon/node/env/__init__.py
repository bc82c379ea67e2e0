"""The environment that a task sees, and the interpolation of `${...}` in what its job says."""
