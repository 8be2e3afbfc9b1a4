"""Federated meta-learning: rounds, selection, local training, aggregation."""
