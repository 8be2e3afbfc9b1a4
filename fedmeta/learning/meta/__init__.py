"""How benign users meta-train: one file for each learner."""
