"""How the server turns the updates it receives into one model: one file per method."""
