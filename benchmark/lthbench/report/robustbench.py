"""RobustBench's ``model_info``: a JSON file for each network, as its leaderboards read them.

Croce et al. 2021, RobustBench. Paths and fields are those of the package robustbench 1.1: percentages are
text with two decimals, ``corruptions_acc`` is the mean over kinds and strengths of corruption,
``autoattack_acc`` that under AutoAttack at 8/255. Pure functions of a summary, without the package itself.
"""

from __future__ import annotations

import json
import math
from typing import Any

from lthbench import formatting
from lthbench.errors import BadInput
from lthbench.report.summary import Summary

#: Data sets that RobustBench has leaderboards of.
DATASETS = ("cifar10", "cifar100", "imagenet")
#: Its threat models: the field it sorts by, our score, and whether that is an error.
THREATS = {
    "corruptions": ("corruptions_acc", "corruption_error", True),
    "Linf": ("autoattack_acc", "autoattack_accuracy", False),
}


def files(summary: Summary) -> dict[str, bytes]:
    """The files by path, ``model_info/DATASET/THREAT/NAME.json``; means over seeds, dense among them.

    Raises BadInput for a task on another data set, or a table without any of the scores.
    """
    task = summary.facts.task
    dataset = (task.get("data") or {}).get("dataset", "none")
    if dataset not in DATASETS:
        raise BadInput(
            f"the format robustbench: task {summary.facts.task_name} is on {dataset}; RobustBench has "
            f"leaderboards of {formatting.listed(list(DATASETS))} alone."
        )
    found = {}
    for threat, (field, score, is_error) in THREATS.items():
        for method, sparsity in summary.networks:
            value = summary.mean(method, sparsity, score)
            clean = summary.mean(method, sparsity, "accuracy")
            if math.isnan(value) or math.isnan(clean):
                continue
            facts = _info(summary, method, sparsity, dataset)
            facts |= {"eps": "8/255" if threat == "Linf" else None, "clean_acc": _percent(clean)}
            facts |= {"reported": "", field: _percent(1.0 - value if is_error else value)}
            name = f"lthbench_{method}_{formatting.share(sparsity)}".replace(":", "-").replace(" ", "")
            content = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
            found[f"model_info/{dataset}/{threat}/{name}.json"] = content.encode()
    if not found:
        scores = [score for _, score, _ in THREATS.values()]
        raise BadInput(
            f"the format robustbench needs accuracy and one of {', '.join(scores)} "
            "(metrics mce, autoattack); the table has none."
        )
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _info(summary: Summary, method: str, sparsity: float, dataset: str) -> dict[str, Any]:
    cell = summary.cell(method, sparsity, "accuracy")
    seeds = cell.seeds if cell is not None else 0
    title = "dense" if method == "dense" else f"{method} at {formatting.sparsity(sparsity)} sparsity"
    return {
        "link": "",
        "name": f"{summary.facts.task_title}: {title}",
        "authors": "",
        "additional_data": False,
        "number_forward_passes": 1,
        "dataset": dataset,
        "venue": "",
        "architecture": summary.facts.task.get("architecture", ""),
        "footnote": (
            f"lthbench, task {summary.facts.task_name}, budget {summary.facts.budget_name}: mean over "
            f"{formatting.counted(seeds, 'seed', 'seeds')}, of the test images and corruptions that the "
            "budget names"
        ),
    }
