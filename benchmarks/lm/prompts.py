"""Prompts of three kinds: prose to go on with, questions about a text that is given, and code or lists. Old enough to belong to everybody, or made up here."""

from __future__ import annotations

ALICE = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or twice she had peeped into "
    "the book her sister was reading, but it had no pictures or conversations in it, “and what is the use of a book,” thought Alice “without "
    "pictures or conversations?” So she was considering in her own mind (as well as she could, for the hot day made her feel very sleepy and "
    "stupid), whether the pleasure of making a daisy-chain would be worth the trouble of getting up and picking the daisies, when suddenly a "
    "White Rabbit with pink eyes ran close by her."
)
WHALE = (
    "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and nothing particular to interest "
    "me on shore, I thought I would sail about a little and see the watery part of the world."
)
NEWS = (
    "The town council met on Tuesday evening to discuss the new bridge over the river Elm. Mayor Anna Field said that the bridge would cost "
    "4.2 million pounds and open in March 2027. Councillor Robert Hale asked why the old bridge could not be repaired. The engineer, Maria "
    "Stone, answered that the old bridge had been closed three times in two years, and that repairs would cost 1.9 million pounds and last "
    "only ten years. The council voted seven to two in favour of the new bridge. Work begins in the first week of September."
)
MINUTES = (
    "Present: Li Wei, Sara Novak, Tom Baker. The team agreed to ship version 2.4 on Friday. Sara Novak reported that the export of large "
    "tables takes forty seconds and should take ten. Tom Baker will measure where the time goes and report on Wednesday. Li Wei will write "
    "the release notes and translate them into Chinese. The next meeting is on Thursday at ten o'clock in room 301."
)
SHOP = '''class Basket:
    """What a customer wants to buy."""

    def __init__(self):
        self.items = {}

    def add(self, name, count=1):
        """Put so many of an item into the basket."""
        self.items[name] = self.items.get(name, 0) + count

    def remove(self, name, count=1):
        """Take so many of an item out of the basket."""
'''
TESTS = """def celsius_to_fahrenheit(value):
    return value * 9 / 5 + 32

def fahrenheit_to_celsius(value):
    return (value - 32) * 5 / 9

def test_celsius_to_fahrenheit():
    assert celsius_to_fahrenheit(0) == 32
    assert celsius_to_fahrenheit(100) == 212

def test_fahrenheit_to_celsius():
"""
TABLE = """{"users": [
  {"id": 1, "name": "Anna Field", "email": "anna.field@example.com", "active": true},
  {"id": 2, "name": "Robert Hale", "email": "robert.hale@example.com", "active": false},
  {"id": 3, "name": "Maria Stone", "email": "maria.stone@example.com", "active": true},
"""

PROSE = (
    ALICE,
    WHALE,
    "The history of bread begins long before the first towns. In the valleys between the two rivers, women ground wild grain",
)
ASKED = (
    f"{NEWS}\n\nQuote the sentences of this text that say what something costs.",
    f"{NEWS}\n\nCorrect this text and write it out again in full.",
    f"{MINUTES}\n\nList who does what, in the words of the minutes.",
)
CODE = (SHOP, TESTS, TABLE)
KINDS = {"prose": PROSE, "quotations": ASKED, "code and lists": CODE}
CHATTED = ("quotations",)  # asked as the first turn of a conversation
