"""A plan beside a store at a URL: what is stored there counts as it does on a disk."""

import json

from lthbench import api
from lthbench.cli import main


def test_what_a_store_at_a_url_holds_is_not_planned_again(tiny_task, tmp_path, capsys):
    asked = ["--task", tiny_task, "--methods", "omp", "--sparsity", "0.5", "--seeds", "1", "--metrics", "ece"]
    store = (tmp_path / "objects").as_uri()
    api.run(tiny_task, ["omp"], sparsities=[0.5], seeds=1, metrics=["ece"], store=store, device="cpu")
    capsys.readouterr()
    main(["plan", *asked, "--store", store, "--json"])
    steps = json.loads(capsys.readouterr().out)
    assert steps["time"] == "nothing to do"
    assert steps["steps"]["measure"] == {"all": 2, "stored": 2}
