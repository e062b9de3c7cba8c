"""What the networks of a table are compared with, in words."""

from __future__ import annotations

from lthbench import formatting
from lthbench.report.summary import Summary, own_calibration
from lthbench.verdict import rules
from lthbench.verdict.until_decided import open_networks, why_ended

#: So many scores are named in a sentence, and more are counted.
MANY = 4


def yardstick_sentence(summary: Summary) -> str:
    """What networks are compared with, and how wide the margins are."""
    found = summary.calibration
    if found is None:
        other = "the calibration of this task is of another version, or of another copy of its images; "
        why = other if summary.outdated else ""
        if summary.unlike:
            why = "this run's own dense networks are not like those of the calibration; "
        if any(request.pretrained for request in summary.facts.requests):
            why = "these networks begin with pretrained weights; "
        alone = f"Not calibrated: {why}each network is compared with the dense parent of its seed."
        return alone + _looks_sentence(summary)
    wide = [summary.title_of(n) for n, s in found.scores.items() if not s.resolved]
    text = f"Calibrated by {len(found.seeds)} other trainings of the dense network."
    if own_calibration(summary.facts) is not None:
        text += " They come with this table, and not with lthbench."
    if wide:
        many = f"{len(wide)} of {len(found.scores)} scores" if len(wide) > MANY else formatting.listed(wide)
        text += (
            f" Two trainings of it alone differ by more than the practical margin in {many}. There the "
            "margin is wider: one training is worse than another by that much in 5 of 100 cases."
        )
    if summary.outdated:
        text += f" Of another version, and not used: {summary.titles(summary.outdated)}."
    return text + _unlike_sentence(summary) + _looks_sentence(summary)


def _unlike_sentence(summary: Summary) -> str:
    """The scores in which a run's own dense networks are not like the trainings of the calibration."""
    if not summary.unlike:
        return ""
    return (
        " This run's own dense networks are not like these trainings (p below .001 over all scores) in "
        f"{summary.titles(summary.unlike)}: the calibration is not used there."
    )


def _looks_sentence(summary: Summary) -> str:
    """With how many seeds results were looked at, and why no more were added."""
    looks = summary.facts.looks
    if looks is None:
        return ""
    counts = formatting.listed([str(len(seeds)) for seeds in looks.seen()])
    return (
        f" Seeds were added where a network was undecided, with a look at {counts} seeds; each score keeps "
        f"its level over all looks. {_why_ended(summary)}"
    ).rstrip()


def _why_ended(summary: Summary) -> str:
    """Why no more seeds were added, as the table shows it; "" where nothing says that they were not."""
    found, seeds = summary.verdicts[rules.HEADLINE], len(summary.facts.seeds)
    most = max(request.most_seeds for request in summary.facts.requests)
    ended = summary.facts.ended and (seeds >= most or not any(open_networks(found).values()))
    return why_ended(found, seeds, most) if ended else ""
