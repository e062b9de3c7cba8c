"""Ratios of processor time that must hold: of what ci/speed runs."""

import time

import pytest


def _spent(work):
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.fixture
def faster(request):
    """Holds ours to take ``least`` times less processor time than theirs, in two of three repeats."""

    def holds(theirs, ours, least, share=1.0):
        """``share`` is what part of their work theirs does."""
        ours()
        found = []
        while len(found) < 3 and sum(ratio > least for ratio in found) < 2:
            found.append(_spent(theirs) / share / _spent(ours))
        print(f"\n{request.node.name}: {', '.join(f'{r:.1f}' for r in found)} times, {least} asked for")
        assert sum(ratio > least for ratio in found) == 2

    return holds
