"""Names and sentences of the demo companies."""

from __future__ import annotations

PLANS = ("Basic", "Plus", "Pro")
BANDS = ("promoter", "passive", "detractor")
REGIONS = ("North", "South", "East", "West", "Midlands", "Capital", "Harbour", "Highlands")
BRANCHES = tuple(f"Branch {number:02d}" for number in range(1, 49))
AGENTS = ("Ana", "Bilal", "Chloe", "Dev", "Erin", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena")
TOPICS = ("billing", "outage", "installation", "change of plan", "app", "other")
REASONS = ("price", "competitor", "service", "no longer needed")
REASON_SHARES = ((0.35, 0.20, 0.05, 0.40), (0.40, 0.25, 0.10, 0.25), (0.35, 0.25, 0.30, 0.10))  # by band
FAILED_PAYMENT = "payment failed"

# By theme: two comments each of a promoter, a passive and a detractor.
COMMENTS = {
    "price": (
        ("The price is fair for what we get.", "Good price, no surprises in two years."),
        ("The price is a little high, but we can live with it.", "I would look around if the price went up."),
        ("Far too expensive compared with what others offer.", "The price keeps me looking for a way out."),
    ),
    "billing": (
        ("The bill is clear and always right.", "Billing simply works, I never have to check it."),
        ("It took me a while to read the bill.", "One invoice had to be corrected, then it was fine."),
        ("Third wrong bill this year.", "I was charged twice and had to chase the refund."),
    ),
    "outage": (
        ("No outage since we joined.", "The connection has never let us down."),
        ("One short outage, otherwise stable.", "The connection drops now and then in the evening."),
        ("Another outage in the middle of a working day.", "The connection goes down every week."),
    ),
    "support wait": (
        ("Support called back within the hour.", "Hardly any waiting when I rang support."),
        ("Support helped in the end, after some waiting.", "The waiting line for support could be shorter."),
        ("I waited forty minutes for support and was cut off.", "Nobody in support answers for days."),
    ),
    "app": (
        ("The app does what I need in two taps.", "Love the app."),
        ("The app is fine, the old one was quicker.", "I still have to log in to the app every time."),
        ("The app crashes whenever I open my account.", "I cannot find anything in the app."),
    ),
    "staff": (
        ("The staff at our branch know us by name.", "Friendly staff who solve things."),
        ("The staff are friendly but cannot decide anything.", "It depends on which staff you get."),
        ("The staff read from a script and did not listen.", "I was passed around four members of staff."),
    ),
    "value": (
        ("Great value, I tell my friends about it.", "We get more value every year."),
        ("Decent value overall.", "It does the job, nothing special for the value."),
        ("I no longer see the value.", "Poor value, we hardly use half of it."),
    ),
}
THEMES = tuple(COMMENTS)
# How often promoters, passives and detractors mention each theme.
THEME_SHARES = (
    (0.10, 0.05, 0.10, 0.10, 0.15, 0.25, 0.25),
    (0.20, 0.10, 0.15, 0.15, 0.15, 0.10, 0.15),
    (0.25, 0.15, 0.20, 0.20, 0.10, 0.04, 0.06),
)
