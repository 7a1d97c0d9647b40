"""The command line: one thin module a command; heavy imports wait until a command needs them."""
