"""Images and masks: where they come from, which of them belong together, who trains, validates and tests."""
