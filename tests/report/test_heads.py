"""What heads the columns of scores: short, and told apart."""

from lthbench import registry
from lthbench.kinds import Metric
from lthbench.report import heads
from lthbench.results.run_facts import score_facts


def test_scores_of_the_verdict_have_heads_of_their_own():
    scores = [s for m in registry.every(Metric) if m.usual for s in m.scores if s.verdict]
    for head, letters in ((heads.column, 16), (heads.terminal, 5)):
        shown = [head(s.name, s.title) for s in scores]
        assert len(set(shown)) == len(shown), shown
        assert max(map(len, shown)) <= letters, shown


def test_a_head_is_the_scores_own_or_its_title():
    assert heads.column("concept_coherence", "concept coherence") == "coherence"
    assert heads.terminal("concept_coherence", "concept coherence") == "coh"
    assert heads.column("mce", "mCE (dense = 1)") == "mCE"
    assert heads.terminal("of-another", "other title") == "other"


def test_heads_are_no_facts_of_a_run():
    """Those of published runs have none, and are compared with what is asked for again."""
    assert not {"short", "shortest"} & vars(score_facts(("ood",))[0]).keys()
