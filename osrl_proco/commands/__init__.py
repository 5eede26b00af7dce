"""The commands of `osrl-proco`: parsing and printing only; nothing imports them but cli.py."""
