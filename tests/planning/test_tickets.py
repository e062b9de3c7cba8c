"""What a method makes of a cell is held to the cell, and a criterion to what there is."""

import dataclasses

import pytest

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.kinds import Criterion, Method, Rewire
from lthbench.methods.filter import FILTERS
from lthbench.methods.omp import MAGNITUDE
from lthbench.planning import plan, request
from lthbench.spec import Init

KERNELS, COUPLED = (dataclasses.replace(MAGNITUDE, name=unit, unit=unit) for unit in ("kernel", "coupled"))


@pytest.fixture
def planned(tiny_task, monkeypatch):
    """Plans omp at 50 % with another ticket; gives the network."""

    def make(ticket, criterion=MAGNITUDE):
        omp = registry.get(Method, "omp")
        other = dataclasses.replace(omp, ticket=ticket, criterion=criterion, variants={}, criteria={})
        monkeypatch.setitem(registry._imported, (Method, "omp"), other)
        made = plan.plan(request.ask(tiny_task, ["omp"], [0.5], seeds=1), (), data_needed=False)
        return next(e.network for e in made.entries if e.method == "omp")

    return make


def narrow(cell):
    return Init(dataclasses.replace(cell.network, widths=(8, 8, 16)), cell.seed)


def trained(cell, *given, **how):
    return cell.train(cell.rewound, cell.prune(cell.dense, *given, **how))


@pytest.mark.parametrize(
    ("ticket", "said"),
    [
        (lambda c: trained(c, MAGNITUDE, 0.9), "its mask keeps a density of 0.9, and 0.5 is asked for"),
        (lambda c: trained(c, FILTERS, 0.9), "its mask keeps a density of 0.9, and 0.5 is asked for"),
        (lambda c: c.train(c.rewound), "its network has no mask, and 0.5 is asked for"),
        (lambda c: c.dense, "its network has no mask, and 0.5 is asked for"),
        (lambda c: c.train(trained(c, MAGNITUDE)), "its network has no mask, and 0.5 is asked for"),
        (lambda c: c.train(c.init, rewire=Rewire(0.3, 0.0, 10, 0.75)), "keeps a density of 1, and 0.5"),
        (lambda c: c.train(c.init, rewire=Rewire(0.0, 0.0, 10, 0.75, density=0.2)), "a density of 0.2, and"),
    ],
)
def test_a_network_of_another_density_than_its_cell_is_refused(planned, ticket, said):
    with pytest.raises(BadInput, match=f"method omp at sparsity 0.5: .*{said}"):
        planned(ticket)


@pytest.mark.parametrize(
    ("ticket", "said"),
    [
        (
            lambda c: c.train(c.rewound, c.prune(c.dense, MAGNITUDE), c.finetune),
            r"from weights rewound to epoch (\d+) goes .* from \1 on, and this one has \1: start",
        ),
        (
            lambda c: c.train(c.rewound, rewire=Rewire(0.0, 0.0, 10, 0.1, density=0.5)),
            "up to the share 0.1 of 2 epochs, and training begins at epoch 1: the network would stay dense",
        ),
        (
            lambda c: c.train(
                c.init, None, dataclasses.replace(c.recipe, epochs=0), Rewire(0.0, 0.0, 1, 0.5, density=0.5)
            ),
            "the share 0.5 of 0 epochs, and training begins at epoch 0: the network would stay dense",
        ),
    ],
)
def test_a_training_of_which_nothing_is_left_is_refused(planned, ticket, said):
    with pytest.raises(BadInput, match=f"method omp: .*{said}"):
        planned(ticket)


def test_a_training_of_no_epochs_may_start_anywhere(planned):
    assert planned(lambda c: c.untrained(c.rewound, c.prune(c.dense, MAGNITUDE))).recipe.epochs == 0


@pytest.mark.parametrize(
    ("ticket", "criterion"),
    [
        (lambda c: trained(c, MAGNITUDE), MAGNITUDE),
        (lambda c: trained(c, MAGNITUDE, allocation="2:4"), MAGNITUDE),
        (lambda c: trained(c, FILTERS, 0.52), FILTERS),  # filters go whole: the nearest may be asked for
        (lambda c: c.train(c.init, rewire=Rewire(0.0, 0.0, 10, 0.75, density=0.5)), MAGNITUDE),
        (lambda c: c.dense, None),
        (lambda c: c.train(c.rewound), None),  # prunes by nothing
        (lambda c: c.train(narrow(c)), MAGNITUDE),
    ],
)
def test_a_network_of_its_cell_is_taken(planned, ticket, criterion):
    assert planned(ticket, criterion)


@pytest.mark.parametrize(
    ("ticket", "said"),
    [
        (lambda c: trained(c, MAGNITUDE, 1.5), "a mask keeps a density above 0 and up to 1, not 1.5"),
        (lambda c: trained(c, MAGNITUDE, 0.0), "a density above 0 and up to 1, not 0"),
        (lambda c: trained(c, MAGNITUDE, float("nan")), "not nan"),
        (
            lambda c: trained(c, MAGNITUDE, allocation="ERK"),
            'no allocation "ERK". Did you mean erk',
        ),
        (lambda c: trained(c, MAGNITUDE, allocation="foo"), "Valid: erk, uniform .*N:M such as 2:4"),
        (lambda c: trained(c, MAGNITUDE, allocation="pooled"), "Valid: erk, uniform"),
        (lambda c: trained(c, MAGNITUDE, allocation="1:4"), "1:4 keeps a density of 0.25, not 0.5"),
        (lambda c: trained(c, MAGNITUDE, allocation="0:4"), 'no allocation "0:4"'),
        (lambda c: trained(c, FILTERS, allocation="pool"), "Did you mean pooled.*the same share of each"),
        (lambda c: trained(c, KERNELS, allocation="erk"), 'kernel has no allocation, got "erk"'),
        (lambda c: trained(c, COUPLED, allocation="pooled"), "coupled has no allocation"),
        (
            lambda c: c.train(narrow(c), c.prune(c.init, FILTERS)),
            "trained with the mask of another network",
        ),
    ],
)
def test_a_mask_that_there_is_not_is_refused(planned, ticket, said):
    with pytest.raises(BadInput, match=rf"method omp: .*{said}"):
        planned(ticket)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"unit": "channel"}, 'criterion own: no unit "channel".*Valid: coupled, filter, kernel, weight'),
        ({"unit": "filters"}, "Did you mean filter"),
        ({"unit": None}, 'no unit "None"'),
        ({"rounds": 0}, "criterion own: rounds must be a whole number, 1 or more, not 0"),
        ({"rounds": 2.5}, "not 2.5"),
        ({"per_class": -3}, "criterion own: per_class must be a whole number, 0 or more, not -3"),
    ],
)
def test_a_criterion_that_cannot_be_is_refused_where_it_is_made(how, said):
    with pytest.raises(BadInput, match=said):
        Criterion("own", 1, MAGNITUDE.score, **how)


def test_a_file_with_such_a_criterion_is_told_by_its_name(tmp_path, monkeypatch):
    for name in ("_paths", "_digests"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    path = tmp_path / "mine.py"
    text = "from lthbench.kinds import Criterion\nOWN = Criterion('own', 1, print, unit='channel')\n"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"mine\.py: cannot be imported: criterion own: no unit"):
        registry.get(Method, str(path))
