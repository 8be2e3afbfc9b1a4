"""From raw images to episodes."""
