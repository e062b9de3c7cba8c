"""A plan without what dense networks are held against."""

from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.spec import Init, Measure


def test_a_plan_without_controls_scores_no_untrained_network():
    whole = plan(ask("digits-r8", [], None, [], 2, ["gini", "accuracy"]), (), data_needed=False)
    lean = whole.without_controls()
    untrained = [s for s in whole.steps if isinstance(s, Measure) and isinstance(s.subject, Init)]
    assert len(untrained) == 2
    assert not any(isinstance(s, Measure) and isinstance(s.subject, Init) for s in lean.steps)
    assert [e.measures for e in lean.entries] == [e.measures for e in whole.entries]
    assert set(lean.steps) < set(whole.steps)
