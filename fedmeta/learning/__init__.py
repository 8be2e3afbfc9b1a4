"""The network, Reptile, and the federation that trains it."""
