"""Every step has a verb that does it, and only what is alike is done together."""

import dataclasses

import pytest

from lthbench.execution import runner, verbs
from lthbench.spec import STEPS, Init, Inputs, Predict, Step, Train


@pytest.mark.parametrize("kind", STEPS)
def test_every_step_has_a_verb_of_its_own(kind):
    assert vars(runner)["do"] is verbs.do
    assert kind in verbs.do.registry


def test_a_step_without_a_verb_is_an_error():
    class Sing(Step):
        """A verb that nobody registered."""

    with pytest.raises(NotImplementedError, match="Sing"):
        verbs.do(Sing(), [], None, verbs.Course())


def test_trainings_and_passes_are_alike_and_nothing_else_is(init, recipe, digits):
    one, other = Train(init, recipe, digits, 0), Train(Init(init.network, 1), recipe, digits, 1)
    longer = Train(init, dataclasses.replace(recipe, epochs=9), digits, 0)
    assert verbs.alike(one, other)
    assert not verbs.alike(one, longer)
    inputs = Inputs(digits, "test", 0, "clean", 1)
    first = Predict(one, inputs)
    assert not verbs.alike(one, first)
    assert not verbs.alike(first, Predict(other, dataclasses.replace(inputs, images=5)))
    assert not verbs.alike(init, Init(init.network, 1))
