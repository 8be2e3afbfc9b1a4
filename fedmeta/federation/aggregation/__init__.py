"""How the server makes one model of the updates it receives: a file a method."""
