"""Formats that go into production."""
