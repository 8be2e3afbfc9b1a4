"""What a benign user does, alone, with the model that the federation sends."""
