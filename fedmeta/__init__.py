"""Backdoor attacks on federated meta-learning: the attack, its persistence, and the defence."""
