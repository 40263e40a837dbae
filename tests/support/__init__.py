"""What the tests share that cross the mount: stores, mounts, users, databases to compare."""
