"""Does a synthetic set give its training images away? Copies, membership, authenticity, and one report of it all."""
