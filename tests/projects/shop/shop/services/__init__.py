"""What the shop does. Each function takes a session and leaves the commit to its caller."""
