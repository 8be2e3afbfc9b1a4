"""How benign users meta-train: a file for each learner."""
