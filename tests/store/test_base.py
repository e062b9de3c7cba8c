"""What a store is, and what leases are: an abstract class with final ones below it, opened by its place."""

from pathlib import Path

import pytest

import lthbench
from lthbench.errors import BadInput
from lthbench.store import LocalStore, RemoteStore, Store, open_store
from lthbench.store.file_leases import FileLeases
from lthbench.store.leases import Leases
from lthbench.store.object_leases import ObjectLeases

pytest.importorskip("fsspec")


@pytest.mark.parametrize(
    ("base", "leaves"), [(Store, {LocalStore, RemoteStore}), (Leases, {FileLeases, ObjectLeases})]
)
def test_a_class_is_abstract_or_final_and_nothing_concrete_is_overridden(base, leaves):
    assert set(base.__subclasses__()) == leaves
    for leaf in leaves:
        assert leaf.__final__
        assert not leaf.__abstractmethods__
        own = {name for name in vars(leaf) if not name.startswith("__")} - {"_abc_impl"}
        assert own & (vars(base).keys() - base.__abstractmethods__) == set()


def test_a_place_says_which_store_it_is(tmp_path):
    assert isinstance(open_store(tmp_path), LocalStore)
    assert isinstance(open_store(str(tmp_path)), LocalStore)
    remote = open_store(f"file://{tmp_path}/there")
    assert isinstance(remote, RemoteStore)
    assert open_store(remote) is remote
    with pytest.raises(BadInput, match="Protocol not known"):
        open_store("nosuch://place")


def test_nobody_asks_which_store_it_is():
    package = Path(lthbench.__file__).parent
    asking = [p.name for p in package.rglob("*.py") if "isinstance(store, " in p.read_text(encoding="utf-8")]
    assert asking == []


def test_another_process_opens_the_store_by_its_address_wherever_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store("results")
    store.open()
    address = store.address
    monkeypatch.chdir("/")
    again = open_store(address)
    again.join()
    assert again.workplace == str(tmp_path.resolve() / "results")
    with pytest.raises(BadInput, match="does not see the store"):
        open_store(tmp_path / "absent").join()
