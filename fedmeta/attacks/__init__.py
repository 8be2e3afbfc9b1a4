"""What a malicious user does."""
