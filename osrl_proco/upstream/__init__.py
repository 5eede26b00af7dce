"""OSRL, DSRL, FSRL and the simulators, mended in memory."""
