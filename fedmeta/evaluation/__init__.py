"""The four accuracies of a client's episodes (Sec. 3), of the attacked model and of the floor."""
