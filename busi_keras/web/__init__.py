"""The page for decision support: a predictor behind a queue, a JSON API, and plain HTML that works with no network."""
