"""What a user can do, as functions: the command line and Python both call these."""
