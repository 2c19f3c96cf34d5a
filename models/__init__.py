"""Mathematics and models: pure numpy, with no clock and no I/O."""
