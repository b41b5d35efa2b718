"""The seeker: decides who runs what, and which result to believe."""
