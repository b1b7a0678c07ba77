"""A mesh of simulated nodes on real registries: the fleet, what watches it, and the steps that `simulate` takes."""
