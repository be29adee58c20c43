"""What a sentence for readers may be: length, numbers, and words of no house dialect."""

from __future__ import annotations

import re

MOST_WORDS, MOST_HEADLINE_WORDS, MOST_NUMBERS = 25, 20, 2
# Phrases of a house of its own that readers stumble over.
DIALECT = re.compile(
    r"\b(goes with|go with|went with|(is|are|be) told|told apart|held against|stands? (for|at|beside|in)|"
    r"lies beside|luck (is )?taken off|clock of the wall|lost from sight|forestalls?|the silent|(drawn )?by lot|"
    r"who answered|cry wolf|heard of|for want of|that are none|dear(er|est)|worth having|put down to|likelier|"
    r"thinkable)\b",
    re.IGNORECASE,
)
PERIOD = re.compile(r"\b\d[\d,.]*(st|nd|rd|th)?[ -](minute|hour|day|week|month|quarter|year)s?\b", re.IGNORECASE)
DATE = re.compile(
    r"\b(\d{1,2} )?(January|February|March|April|May|June|July|August|September|October|November|December)( \d{4})?\b"
    r"|\bQ[1-4] \d{4}\b|\b(19|20)\d\d(-\d\d){0,2}\b"
)
BRACKETS = re.compile(r"\([^()]*\)")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; an abbreviation or a decimal point ends none."""
    return [s for s in re.split(r"(?<=[.!?])\s+(?=[A-Z0-9£€$\"'“])", text) if s.strip()]


def words(sentence: str) -> int:
    """Count the words of a sentence."""
    return len([w for w in sentence.split() if re.search(r"\w", w)])


def numbers(headline: str) -> list[str]:
    """Return the numbers of a headline: not those in brackets, of a date or of a period such as "12 months"."""
    text, before = headline, ""
    while text != before:  # brackets in brackets go too
        text, before = BRACKETS.sub("", text), text
    text = PERIOD.sub("", DATE.sub("", " ".join(text.split())))
    return re.findall(r"(?<![\w.])[−-]?[£€$]?\d[\d,.]*", text)


def faults(finding) -> list[str]:
    """Return what is wrong with the words of a finding."""
    found = []
    if words(finding.headline) > MOST_HEADLINE_WORDS:
        found.append(f"headline of {words(finding.headline)} words: {finding.headline}")
    if len(numbers(finding.headline)) > MOST_NUMBERS:
        found.append(f"headline with numbers {numbers(finding.headline)}: {finding.headline}")
    for text in (finding.title, *finding.texts):
        found += [f"sentence of {words(s)} words: {s}" for s in sentences(text) if words(s) > MOST_WORDS]
        found += [f"dialect {m.group(0)!r}: {text}" for m in DIALECT.finditer(text)]
        found += [f"no space after a sentence: {text}" for _ in re.finditer(r"[a-z)%][.!?][A-Z]", text)]
    return found
