"""The commands of the `seeker` command line, by what they are about."""
