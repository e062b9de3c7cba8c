"""The networks of RobustBench's model zoo, without their weights: ``robustbench:NAME``.

Croce et al. 2021, RobustBench; package robustbench 1.1. A name is looked for among the zoo's networks for the
task's data set: CIFAR-10 for 10 classes, CIFAR-100 for 100, ImageNet for 1,000. They take pixels in [0, 1].
Some of the zoo's networks come with weights that torchvision or timm fetches: these are left out, too.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
import threading
import types
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from lthbench.errors import BadInput
from lthbench.kinds import Architecture, Counts
from lthbench.spec import Network

if TYPE_CHECKING:
    import torch

#: What a name begins with, and the zoo's data sets by the number of classes.
PREFIX = "robustbench:"
DATASETS = {10: "cifar_10", 100: "cifar_100", 1000: "imagenet"}
#: Networks are built one at a time: each puts back what it found.
_building = threading.RLock()


def architecture(name: str) -> Architecture:
    """The record of a network of the zoo. Raises BadInput where the zoo has none of this name."""
    member = name.removeprefix(PREFIX)
    found = [classes for classes in DATASETS if member in _zoo(classes)]
    if not found:
        known = sorted({n for classes in DATASETS for n in _zoo(classes)})
        near = difflib.get_close_matches(member, known, 1, 0.5)
        hint = f" Did you mean {PREFIX}{near[0]}?" if near else ""
        raise BadInput(
            f'the model zoo of robustbench has no network "{member}".{hint} It has {len(known)}, such as '
            f"{', '.join(known[:5])}."
        )
    size = 224 if found == [1000] else 32
    model = _checked(member, found[0])
    return Architecture(
        name=name,
        version=1,
        title=f"{member}, of RobustBench's model zoo",
        source="Croce et al. 2021, RobustBench; the network as the package robustbench builds it",
        widths=(),
        size=size,
        layer=_convolutions(model)[-1],
        count=_count,
        build=lambda network: _built(member, network.classes),
    )


def source() -> str:
    """Sha256 (hex) of the versions of the packages that build the zoo's networks."""
    found = []
    for package in ("robustbench", "timm", "torchvision"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{package} {importlib.metadata.version(package)}")
    return hashlib.sha256(", ".join(found).encode()).hexdigest()


def _built(member: str, classes: int) -> torch.nn.Module:
    """A network of the zoo with freshly drawn weights. Raises BadInput where it is for other classes."""
    zoo = _zoo(classes) if classes in DATASETS else {}
    if member not in zoo:
        having = [str(other) for other in DATASETS if member in _zoo(other)]
        raise BadInput(f"{PREFIX}{member} is a network for {' or '.join(having)} classes, not {classes}.")
    try:
        with _without_weights():
            model: torch.nn.Module = zoo[member]["model"]()
    except _Trained as error:
        raise _trained(member) from error
    except Exception as error:  # some of the zoo's do not build with today's torch and timm
        raise BadInput(f"{PREFIX}{member} cannot be built: {type(error).__name__}: {error}") from error
    return model


def _checked(member: str, classes: int) -> torch.nn.Module:
    """A network of the zoo. Raises BadInput where another seed does not draw other weights, and where what
    would be pruned is no parameter.
    """
    import torch

    from lthbench.masks import prunable

    first: torch.Tensor | None = None
    for seed in (1, 0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _built(member, classes)
        weight = model.get_submodule(_convolutions(model)[0]).weight
        assert isinstance(weight, torch.Tensor)
        if first is not None and torch.equal(first, weight):
            raise _trained(member)
        first = weight
    try:
        prunable(model)
    except BadInput as error:
        raise BadInput(f"{PREFIX}{member} cannot be used: {error}") from error
    return model


class _Trained(Exception):
    """Raised where weights would be loaded."""


def _trained(member: str) -> BadInput:
    return BadInput(
        f"{PREFIX}{member} cannot be used: its code sets weights of its own, and all seeds would begin with "
        "these. Give a network whose weights are drawn."
    )


@contextlib.contextmanager
def _without_weights() -> Iterator[None]:
    """While a network is built, torchvision and timm are asked for none of their weights; none are loaded.

    Other threads go on as before, but for those that would build a network, too, which wait.
    """
    import torch

    changed: list[tuple[Any, str, Any]] = []

    def change(module: Any, name: str, to: Callable[..., Any]) -> None:
        if hasattr(module, name):  # what networks are built of was imported with the zoo
            before = getattr(module, name)
            changed.append((module, name, before))
            setattr(module, name, _in_this_thread(to(before), before))

    with _building:
        try:
            vision = sys.modules.get("torchvision.models")
            for name in vision.list_models(vision) if vision else ():
                change(vision, name, _untrained)
            for module in ("timm", "timm.models"):
                change(sys.modules.get(module), "create_model", _untrained)
            # What asks in another way is refused, before anything is fetched.
            change(torch.hub, "load_state_dict_from_url", _refused)
            change(torch.hub, "download_url_to_file", _refused)
            change(torch.nn.Module, "load_state_dict", _refused)
            for name in ("load_pretrained", "load_custom_pretrained"):
                change(sys.modules.get("timm.models._builder"), name, _refused)
            yield
        finally:
            for module, name, before in reversed(changed):
                setattr(module, name, before)


def _in_this_thread(inside: Callable[..., Any], elsewhere: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is one in the thread that calls this, and another in all others."""
    own = threading.get_ident()

    @functools.wraps(elsewhere)
    def called(*given: Any, **named: Any) -> Any:
        return (inside if threading.get_ident() == own else elsewhere)(*given, **named)

    return called


def _untrained(build: Callable[..., Any]) -> Callable[..., Any]:
    """A function that builds networks, without the weights that it is asked for."""
    weights = ("pretrained", "pretrained_backbone", "weights", "weights_backbone")

    @functools.wraps(build)
    def built(*given: Any, **named: Any) -> Any:
        return build(*given, **{name: value for name, value in named.items() if name not in weights})

    return built


def _refused(load: Callable[..., Any]) -> Callable[..., Any]:
    """A function that would load weights, which it must not."""

    @functools.wraps(load)
    def loaded(*given: Any, **named: Any) -> NoReturn:
        raise _Trained

    return loaded


def _convolutions(model: torch.nn.Module) -> list[str]:
    """The names of a network's convolutions. Raises BadInput for one that has none."""
    from torch import nn

    found = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    if not found:
        raise BadInput("a network of the zoo has no convolution, which is what is pruned.")
    return found


@lru_cache(maxsize=32)
def _count(network: Network) -> Counts:
    """The size of a network, from itself; its filters stay, since nothing is known of what reads them."""
    import torch
    from torch import nn

    from lthbench.masks import prunable

    model = _built(network.architecture.removeprefix(PREFIX), network.classes).eval()
    macs = activations = 0

    def layer(module: nn.Module, given: Any, made: torch.Tensor) -> None:
        nonlocal macs, activations
        if isinstance(module, nn.Conv2d):
            activations += 2 * made.numel()
        if isinstance(module, nn.Conv2d | nn.Linear):
            outputs = module.weight.shape[0]
            macs += made.numel() // outputs * module.weight.numel()

    hooks = [module.register_forward_hook(layer) for module in model.modules()]
    with torch.no_grad():
        model(torch.zeros(1, network.channels, network.size, network.size))
    for hook in hooks:
        hook.remove()
    parameters = sum(p.numel() for p in model.parameters())
    weights = sum(weight.numel() for weight in prunable(model).values())
    return Counts(parameters, weights, macs, weights, activations=activations)


@lru_cache(maxsize=3)
def _zoo(classes: int) -> dict[str, dict[str, Any]]:
    """The networks of the zoo for so many classes, of all its threat models, by name. Raises BadInput."""
    try:
        with _importable():
            models = importlib.import_module("robustbench.model_zoo.models")
            enums = importlib.import_module("robustbench.model_zoo.enums")
    except ImportError as error:
        raise BadInput(
            f"networks of RobustBench need the package robustbench, which cannot be imported ({error}): "
            "pip install 'lthbench[robustbench]'"
        ) from error
    threats = models.model_dicts[getattr(enums.BenchmarkDataset, DATASETS[classes])]
    found: dict[str, dict[str, Any]] = {}
    for networks in threats.values():
        found = {**networks, **found}
    return found


@contextlib.contextmanager
def _importable() -> Any:
    """Make up for what robustbench 1.1.1 imports and PyPI does not have under that name.

    Its ``autoattack`` is ``pyautoattack`` there, and ``pkg_resources``, of which it asks for the path of a
    file, went with setuptools 81. What stands in is taken away again.
    """
    before = set(sys.modules)
    if importlib.util.find_spec("autoattack") is None and importlib.util.find_spec("pyautoattack"):
        sys.modules["autoattack"] = importlib.import_module("pyautoattack")
        sys.modules["autoattack.state"] = importlib.import_module("pyautoattack.state")
    if importlib.util.find_spec("pkg_resources") is None:
        stand_in = types.ModuleType("pkg_resources")
        stand_in.resource_filename = _resource_filename  # type: ignore[attr-defined]
        sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        for name in ("autoattack", "autoattack.state", "pkg_resources"):
            if name not in before:
                sys.modules.pop(name, None)


def _resource_filename(package: str, name: str) -> str:
    from importlib.resources import files

    return str(files(package.rpartition(".")[0] or package).joinpath(name))
