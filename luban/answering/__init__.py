"""Answers to questions: spans of a text, passages of a collection, how right they are, and when there is none."""
