"""From images to predictions, whatever format the network is in."""
