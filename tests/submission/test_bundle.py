"""Result bundles: whole ones are accepted, and every way of changing one is refused."""

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import math
import re
import shutil
import sys
import zipfile

import pytest
from PIL import Image

from lthbench import api, registry
from lthbench.cli import main, progress_line
from lthbench.engines.queue import Interrupted
from lthbench.errors import BadInput
from lthbench.kinds import Metric
from lthbench.planning import plan, request
from lthbench.planning.looks import Look
from lthbench.report.summary import summarise
from lthbench.results import bundle_file, run_facts
from lthbench.results.table import as_csv
from lthbench.store import LocalStore
from lthbench.submission import bundle, facts_told, rerun
from lthbench.verdict.calibration import shipped
from lthbench.verdict.rules import HEADLINE, RULES
from lthbench.verdict.until_decided import why_ended


def changed(whole, path, change, honest=True):
    """A bundle whose files were changed; an honest forger sets the hashes right."""
    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    if honest:
        head = json.loads(files["bundle.json"])
        names = [n for n in files if n != "bundle.json"]
        head["files"] = {n: hashlib.sha256(files[n]).hexdigest() for n in names}
        files["bundle.json"] = json.dumps(head).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    path.write_bytes(buffer.getvalue())
    return path


def edited(name, old, new, count=1):
    def change(files):
        assert old in files[name], name
        files[name] = files[name].replace(old, new, count)

    return change


def test_a_whole_bundle_is_accepted_and_gives_the_table(run, whole):
    table, facts = bundle.verify(whole)
    assert as_csv(table) == (run / "report" / "scores.csv").read_bytes()
    assert facts.task_name == "digits-r8"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["store", "verify", "--store", "STORE"], r"1 of \d+ artefacts"),
        (["submit", "REPORT", "--store", "STORE", "--out", "OUT"], "reading 1 of 12 results"),
        (["verify", "WHOLE"], "planning its command"),
    ],
)
@pytest.mark.parametrize("terminal", [True, False])
def test_what_takes_long_says_on_a_terminal_how_far_it_is(
    run, whole, tmp_path, monkeypatch, capsys, words, said, terminal
):
    monkeypatch.setattr(progress_line, "PATIENCE", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    names = {"STORE": run / "store", "REPORT": run / "report", "WHOLE": whole, "OUT": tmp_path / "out.zip"}
    call = [str(names.get(word, word)) for word in words]
    main(call)
    found = capsys.readouterr().err
    if terminal:
        assert re.match(rf"\r\x1b\[K0 s: {said}\r\x1b\[K", found)
        assert found.endswith("\r\x1b[K")
    else:
        assert found == ""
    if "submit" not in words:
        main([*call, "--json"])
        assert capsys.readouterr().err == ""


def test_what_is_damaged_stands_on_a_line_of_its_own(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress_line, "PATIENCE", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", sys.stderr)  # as a terminal shows both
    shutil.copytree(run / "store", tmp_path / "store")
    first = min((tmp_path / "store" / "steps").glob("*/*/manifest.json"))
    first.write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match="1"):
        main(["store", "verify", "--store", str(tmp_path / "store")])
    found = capsys.readouterr().err
    assert re.search(r"(^|\n|\x1b\[K)damaged: \w+ [0-9a-f]{64}: ", found)


def test_commands_read_the_table_in_a_bundle_with_its_pictures(whole, tmp_path, capsys):
    content = io.BytesIO()
    Image.new("RGB", (3, 2)).save(content, "PNG")
    image = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    picture = {"kind": "saliency", "title": "t", "text": "maps", "image": image}
    path = tmp_path / "mine.zip"
    changed(whole, path, lambda files: files.update({"pictures.json": json.dumps([picture]).encode()}))
    main(["report", str(path), "--out", str(tmp_path / "out"), "--format", "html,csv"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert picture["image"] in page
    assert json.loads((tmp_path / "out" / "pictures.json").read_text()) == [picture]
    with zipfile.ZipFile(path) as archive:
        assert (tmp_path / "out" / "scores.csv").read_bytes() == archive.read("scores.csv")
    changed(whole, path, edited("scores.csv", b"omp", b"imp"), honest=False)
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(path), str(whole)])
    assert ended.value.code == 1
    assert "scores.csv was changed" in capsys.readouterr().err


def test_the_same_report_is_the_same_bundle(run, whole, tmp_path):
    bundle.write(run / "report", LocalStore(run / "store"), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == whole.read_bytes()


def first_result(files, score=b'"accuracy"'):
    return next(n for n in files if n.endswith("scores.json") and score in files[n])


def better(files):
    name = first_result(files)
    result = json.loads(files[name])
    result["values"][0]["value"] = 1.0
    files[name] = json.dumps(result).encode()


def asked(**other):
    """A change of the request behind the table."""

    def change(files):
        facts = json.loads(files["run.json"])
        facts["requests"][0] |= other
        files["run.json"] = json.dumps(facts).encode()

    return change


def told(**other):
    """A change of what run.json says."""

    def change(files):
        files["run.json"] = json.dumps(json.loads(files["run.json"]) | other).encode()

    return change


def network(**other):
    """A change of what run.json says of a pruned network."""

    def change(files):
        facts = json.loads(files["run.json"])
        next(n for name, n in facts["networks"].items() if name.startswith("omp")).update(other)
        files["run.json"] = json.dumps(facts).encode()

    return change


def emptied(files):
    """A mask that is said to leave nothing of a layer."""
    facts = json.loads(files["run.json"])
    next(iter(facts["masks"].values()))["collapsed"] = ["fc.weight"]
    files["run.json"] = json.dumps(facts).encode()


def old(given, other):
    """A change of the command in the file of a version that kept no request beside it."""

    def change(files):
        facts = json.loads(files["run.json"])
        del facts["requests"]
        assert given in facts["command"]
        facts["command"] = facts["command"].replace(given, other)
        files["run.json"] = json.dumps(facts).encode()

    return change


def dropped(files):
    del files[first_result(files)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edited("scores.csv", b"omp,0.5904,0", b"imp,0.5904,0"), "method is 'imp', its results give 'omp'"),
        (edited("scores.csv", b"omp,0.5904", b"omp,0.9904"), "sparsity is 0.9904"),
        (edited("scores.csv", b",ok,", b",failed,"), "status is 'failed'"),
        (edited("scores.csv", b",ok,", b",missing,"), "is of a table that is not finished"),
        (
            lambda f: f.update({"scores.csv": f["scores.csv"].rsplit(b"\n", 2)[0] + b"\n"}),
            "rows, its results give",
        ),
        (better, "value is .*, its results give"),
        (dropped, "status is 'ok', its results give 'missing'|its results give"),
        (edited("run.json", b'"margin": 0.01', b'"margin": 0.9'), "run.json: aspects was changed"),
        (edited("run.json", b"--seeds 0,1", b"--seeds 4,5"), "run.json: command was changed"),
        (told(dense_keys=None), "run.json: dense_keys is missing"),
        (told(environments=[{}]), r"run.json: environments\[0\]: missing device"),
        (told(dense_keys={"accuracy": "of my own"}), "run.json: dense_keys was changed"),
        (
            told(plugins=[{"kind": "method", "name": "wanda", "source": "prunes 1.2", "digest": "0" * 64}]),
            "the method wanda is not installed here; it is one of prunes 1.2: install that package",
        ),
        (asked(methods=["./m.py"]), "Make a package of it .docs/template is one., install it"),
        (told(classes=99), "run.json: classes was changed"),
        (
            told(plugins=[{"kind": "method", "name": "omp", "source": "p 1", "digest": "0" * 64}]),
            "run.json: plugins was changed",
        ),
        (told(calibration=json.loads(shipped("digits-r8", "quick").to_json())), "is judged by the one it"),
        (told(given=[{"method": "dense", "seed": 0}]), "given: tells of networks made elsewhere"),
        (network(network="0" * 64), "networks was changed"),
        (network(expression="train(anything)"), "networks was changed"),
        (told(networks={}), "networks was changed"),
        (network(owner="me"), r"'networks\.omp .*\.owner' is no field that lthbench .* knows"),
        (
            told(verdict="LTH-PASS"),
            "'verdict' is no field that lthbench .* knows: it was added by hand",
        ),
        (told(rule="lenient"), 'run.json: no rule "lenient"'),
        (told(ended="All is decided."), "ended was changed: its command adds no seeds until all is decided"),
        (emptied, "masks: other layers of omp at 0.5904, seed 0, are empty than its results tell"),
        (asked(seeds=[4, 5]), "results are not of the steps"),
        (asked(methods=["snip"]), "results are not of the steps"),
        (asked(methods="snip"), "request: methods: expected a list"),
        (asked(elsewhere=True), "scores networks made elsewhere"),
        (asked(task="./digits.toml"), "is a file; only tasks that ship"),
        (asked(methods=["./m.py"]), "is a file; only those that are installed"),
        (
            asked(plugins=[{"kind": "method", "name": "omp", "file": "m.py"}]),
            "is a file; only those that are installed",
        ),
        (old("--seeds 0,1", "--seeds 4,5"), "results are not of the steps"),
        (old("--methods omp", "--methods snip"), "results are not of the steps"),
        (old("lthbench run", "rm -rf"), "its command cannot be read"),
        (old("--task digits-r8", "--task ./digits.toml"), "is a file; only tasks that ship"),
        (old("--methods omp", "--methods ./m.py"), "is a file; only those that are installed"),
        (old("--budget quick", "--budget quick --plugin m.py"), "is a file; only those that are installed"),
        (edited("run.json", b'"digest": "', b'"digest": "0'), "results are not of the steps"),
        (edited("steps.json", b'"epochs": 24', b'"epochs": 240'), "was changed: its hash is another one"),
        (lambda f: f.update({"run.json": b"{}"}), "cannot be read as facts"),
        (lambda f: f.pop("steps.json"), "steps.json is missing"),
    ],
)
def test_what_was_changed_is_refused_though_all_hashes_are_right(whole, tmp_path, change, said):
    path = changed(whole, tmp_path / "forged.zip", change)
    with pytest.raises(bundle.Refused, match=said):
        bundle.verify(path)


def test_why_no_more_seeds_were_added_is_what_the_table_gives(made_table):
    scores, facts = made_table(("imp", "omp"), seeds=3)
    looks = tuple(Look(seeds, dict.fromkeys(("imp", "omp"), (0.5, 0.9, 0.98))) for seeds in ((0, 1), (2,)))
    asked = dataclasses.replace(facts.requests[0], most_seeds=3, looks=looks)
    facts = dataclasses.replace(facts, requests=(asked,))
    why = why_ended(summarise(scores, facts).verdicts[HEADLINE], 3, 3)
    for ended in ("", why):
        facts_told.check_judged(scores, dataclasses.replace(facts, ended=ended))
    for ended in ("All is decided, whatever you may think.", why.replace("3", "4")):
        with pytest.raises(BadInput, match=r"ended was changed, or .*: its table gives: .*3"):
            facts_told.check_judged(scores, dataclasses.replace(facts, ended=ended))


def test_the_rule_that_its_pages_were_drawn_by_goes_with_a_bundle(whole, tmp_path):
    for rule in RULES:
        path = changed(whole, tmp_path / f"{rule}.zip", told(rule=rule))
        assert bundle.verify(path)[1].rule == rule


def test_a_report_with_a_field_that_is_not_known_is_not_bundled(run, tmp_path):
    shutil.copytree(run / "report", tmp_path / "report")
    path = tmp_path / "report" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"verdict": "LTH-PASS"}))
    with pytest.raises(BadInput, match=r"run\.json: 'verdict' is no field that lthbench"):
        bundle.write(tmp_path / "report", LocalStore(run / "store"), tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_a_table_of_an_earlier_version_is_said_to_be_one_and_is_checked_all_the_same(
    whole, tmp_path, monkeypatch
):
    version = registry.version
    later = lambda kind, name: "99" if name == "ece" else version(kind, name)  # noqa: E731
    monkeypatch.setattr(registry, "version", later)
    with pytest.raises(
        bundle.Refused, match=r"earlier version \(lthbench 0.*not edited.*4 of 12 .*ece 2, here 99"
    ):
        bundle.verify(whole)
    path = changed(whole, tmp_path / "forged.zip", better)
    with pytest.raises(bundle.Refused, match="its results give"):
        bundle.verify(path)
    path = changed(whole, tmp_path / "other.zip", asked(seeds=[4, 5]))
    with pytest.raises(bundle.Refused, match="results are not of the steps"):
        bundle.verify(path)


def test_a_table_of_an_earlier_version_with_the_same_values_is_accepted(whole, tmp_path, monkeypatch):
    version, get = registry.version, registry.get
    later = dataclasses.replace(get(Metric, "ece"), version=3, values_since=2)
    monkeypatch.setattr(registry, "version", lambda k, name: "3" if name == "ece" else version(k, name))
    monkeypatch.setattr(registry, "get", lambda kind, name: later if name == "ece" else get(kind, name))
    scores, _ = bundle.verify(whole)
    known = json.loads(bundle.read(whole)["steps.json"])
    assert {known[key]["metric_version"] for key in scores.loc[scores["score"] == "ece", "step"]} == {"2"}
    path = changed(whole, tmp_path / "forged.zip", better)
    with pytest.raises(bundle.Refused, match="its results give"):
        bundle.verify(path)
    with pytest.raises(bundle.Refused, match="dense_keys was changed"):
        bundle.verify(changed(whole, tmp_path / "keys.zip", told(dense_keys={"ece": "0" * 64})))
    later = dataclasses.replace(later, values_since=3)
    with pytest.raises(bundle.Refused, match=r"earlier version .* ece 2, here 3"):
        bundle.verify(whole)


def test_other_words_about_the_same_task_are_no_change(whole, tmp_path):
    facts = json.loads(bundle.read(whole)["run.json"])
    words = {"about": "Said otherwise.", "source": "elsewhere"}
    path = changed(
        whole,
        tmp_path / "words.zip",
        told(task={**facts["task"], **words}, budget={**facts["budget"], **words}),
    )
    bundle.verify(path)
    path = changed(whole, tmp_path / "other.zip", told(task={**facts["task"], "title": "another"}))
    with pytest.raises(bundle.Refused, match="task was changed"):
        bundle.verify(path)


def test_the_bundle_of_a_version_that_kept_no_request_is_accepted(whole, tmp_path):
    path = changed(whole, tmp_path / "old.zip", old("lthbench run", "lthbench run"))
    assert "requests" not in json.loads(bundle.read(path)["run.json"])
    assert len(bundle.verify(path)[0]) == len(bundle.verify(whole)[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edited("scores.csv", b"0", b"1"), "scores.csv was changed: its hash"),
        (lambda f: f.update({"../evil": b"x"}), "../evil is not listed"),
        (lambda f: f.pop("run.json"), "run.json is missing"),
    ],
)
def test_hashes_that_are_not_right_are_refused(whole, tmp_path, change, said):
    path = changed(whole, tmp_path / "forged.zip", change, honest=False)
    with pytest.raises(bundle.Refused, match=said):
        bundle.verify(path)
    assert [p.name for p in tmp_path.iterdir()] == ["forged.zip"]


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_what_is_no_bundle_is_refused_by_name(tmp_path, content):
    path = tmp_path / "x.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=str(path)):
        bundle.verify(path)


def test_a_zip_that_unpacks_without_end_is_refused(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_file, "LIMIT", 1000)
    with pytest.raises(BadInput, match="unpacks to more than"):
        bundle.verify(whole)


def test_an_edited_report_cannot_be_bundled(run, tmp_path):
    (tmp_path / "report").mkdir()
    for name in ("scores.csv", "run.json"):
        (tmp_path / "report" / name).write_bytes((run / "report" / name).read_bytes())
    path = tmp_path / "report" / "scores.csv"
    path.write_bytes(path.read_bytes().replace(b",0.9", b",0.99", 1))
    with pytest.raises(BadInput, match="is not what the store"):
        bundle.write(tmp_path / "report", LocalStore(run / "store"), tmp_path / "b.zip")
    with pytest.raises(BadInput, match="no such folder"):
        bundle.write(run / "report", LocalStore(tmp_path / "none"), tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


def test_a_table_that_is_packed_is_bundled_as_it_was(run, whole, tmp_path):
    (tmp_path / "run.json").write_bytes((run / "report" / "run.json").read_bytes())
    (tmp_path / "scores.csv.gz").write_bytes(gzip.compress((run / "report" / "scores.csv").read_bytes()))
    bundle.write(tmp_path, LocalStore(run / "store"), tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == whole.read_bytes()


@pytest.mark.long
def test_facts_that_would_be_refused_cannot_be_bundled(run, tmp_path):
    for name in ("scores.csv", "run.json"):
        (tmp_path / name).write_bytes((run / "report" / name).read_bytes())
    facts = json.loads((tmp_path / "run.json").read_bytes())
    facts["aspects"][0]["margin"] = 0.5
    (tmp_path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(BadInput, match=r"run\.json: aspects was changed.* Run the command again"):
        bundle.write(tmp_path, LocalStore(run / "store"), tmp_path / "b.zip")


def test_a_sample_run_again_agrees_and_a_made_up_one_does_not(run, whole, tmp_path):
    table, facts = bundle.verify(whole)
    chosen = rerun.drawn(facts, 1, 0)
    assert rerun.rerun(table, facts, chosen, tmp_path / "store") == []
    made_up = table.assign(value=table["value"].where(table["score"] != "accuracy", 0.2))
    wrong = rerun.rerun(made_up, facts, chosen, tmp_path / "store")
    assert any("accuracy is 0.2, run again 0.9" in line for line in wrong)


def test_the_noise_that_a_bundle_claims_widens_no_band(whole, tmp_path, monkeypatch):
    """An accuracy of .10 that is claimed as .995 with a standard error of .5 was the same within noise."""
    table, facts = bundle.verify(whole)
    accuracy = table["score"] == "accuracy"
    honest = table.assign(value=table["value"].where(~accuracy, 0.10), se=table["se"].where(~accuracy, 0.013))
    claimed = table.assign(value=table["value"].where(~accuracy, 0.995), se=table["se"].where(~accuracy, 0.5))
    monkeypatch.setattr(api, "run", lambda *given, **how: honest)
    wrong = rerun.rerun(claimed, facts, rerun.drawn(facts, 1, 0), tmp_path / "store")
    assert any("accuracy is 0.995, run again 0.1" in line for line in wrong)
    assert rerun.rerun(honest, facts, rerun.drawn(facts, 1, 0), tmp_path / "store") == []


def test_the_band_is_of_the_run_and_the_calibration_and_within_the_margin():
    scores = {s.name: s for n in ("accuracy", "nll", "brier") for s in registry.get(Metric, n).scores}
    accuracy, nll, brier = scores["accuracy"], scores["nll"], scores["brier"]
    # Four standard errors of a difference of two: 4 * sqrt(2) * sqrt(.0003**2 + .0004**2).
    assert rerun.band(accuracy, 0.9, 0.0003, 0.0004) == pytest.approx(0.00283, abs=1e-5)
    assert rerun.band(accuracy, 0.9, 0.5) == pytest.approx(accuracy.margin)
    assert rerun.band(accuracy, 0.9, math.nan) == pytest.approx(accuracy.margin)
    assert nll.relative_margin
    assert rerun.band(nll, 2.0, 9.0) == pytest.approx(2.0 * nll.margin)
    assert not brier.margin
    assert rerun.band(brier, 0.05, 9.0, 9.0) == pytest.approx(0.005)
    assert rerun.alike(0.3, 0.3, 0.0)
    assert rerun.alike(math.nan, math.nan, 0.0)
    assert not rerun.alike(math.nan, 0.3, 9.0)
    assert not rerun.alike(0.3, 0.32, 0.01)


def test_a_bundle_that_asks_for_millions_of_networks_is_refused_at_once(whole, tmp_path):
    sparsities = [round(0.5 + i * 1e-5, 5) for i in range(4000)]
    path = changed(whole, tmp_path / "b.zip", asked(sparsities=sparsities, seeds=list(range(10_000))))
    with pytest.raises(bundle.Refused, match="asks for 40,000,000 networks"):
        bundle.verify(path)


def test_what_is_run_again_is_drawn_by_a_seed(whole):
    _, facts = bundle.verify(whole)
    first = {rerun.named(e) for draw in range(20) for e in rerun.drawn(facts, 1, draw)}
    assert first == {"omp 59.0 % seed 0", "omp 59.0 % seed 1"}
    assert [rerun.drawn(facts, 1, 7)] * 3 == [rerun.drawn(facts, 1, 7) for _ in range(3)]
    assert len(rerun.drawn(facts, 1000, 0)) == 2
    assert {rerun.named(e) for e in rerun.drawn(facts, 9, 0, ["dense"])} == {"dense seed 0", "dense seed 1"}
    assert len(rerun.drawn(facts, 9, 0, ["dense", "omp"])) == 4
    with pytest.raises(BadInput, match=r'no method "snip" *\.? *Valid: dense, omp \(in the bundle\)'):
        rerun.drawn(facts, 1, 0, ["snip"])


@pytest.mark.long
def test_a_sample_is_told_and_kept_where_a_store_is_given(whole, tmp_path, capsys):
    store = tmp_path / "again"
    words = ["verify", str(whole), "--rerun", "1", "--methods", "omp", "--draw", "3", "--store", str(store)]
    words += ["--workers", "0"]
    main(words)
    said = capsys.readouterr().out
    assert re.search(r"To run again \(--draw 3\): omp 59\.0 % seed [01]\.", said)
    assert "1 network was run again: the scores are the same within noise." in said
    events = (store / "events.jsonl").read_bytes()
    main(words)
    assert "1 network was run again" in capsys.readouterr().out
    assert (store / "events.jsonl").read_bytes() == events


@pytest.mark.parametrize(
    "more", [["--methods", "omp"], ["--draw", "1"], ["--store", "s"], ["--workers", "1"]]
)
def test_how_to_run_again_without_running_again_is_refused(whole, more, capsys):
    with pytest.raises(SystemExit) as end:
        main(["verify", str(whole), *more])
    assert end.value.code == 2
    assert "add --rerun N" in capsys.readouterr().err


def test_a_store_with_the_results_of_others_is_no_place_to_run_again(run, whole, tmp_path, capsys):
    words = ["verify", str(whole), "--rerun", "1", "--workers", "0", "--store"]
    with pytest.raises(SystemExit) as end:
        main([*words, str(run / "store")])
    assert end.value.code == 2
    assert "holds more than was run again for this bundle; give an empty folder" in capsys.readouterr().err
    assert not (run / "store" / "rerun.json").exists()
    LocalStore(tmp_path / "empty").open()
    rerun.place_for(whole, tmp_path / "empty")
    (tmp_path / "empty" / "steps" / "ab" / "x").mkdir(parents=True)
    rerun.place_for(whole, tmp_path / "empty")
    with pytest.raises(BadInput, match="give an empty folder"):
        rerun.place_for(run / "report" / "scores.csv", tmp_path / "empty")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Interrupted])
def test_a_check_that_is_stopped_says_how_it_goes_on(whole, tmp_path, monkeypatch, capsys, kind):
    def stopped(*_, **__):
        raise kind

    monkeypatch.setattr(rerun, "rerun", stopped)
    for more, said in (
        (["--store", str(tmp_path / "s")], f"--draw 5 --store {tmp_path / 's'}"),
        ([], "--store"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["verify", str(whole), "--rerun", "1", "--draw", "5", *more])
        assert end.value.code == 130
        assert said in capsys.readouterr().err


def test_the_ood_sets_and_concepts_of_a_bundle_are_those_it_is_compared_with(whole, tmp_path, monkeypatch):
    table, facts = bundle.verify(whole)
    asked = []

    def run(*given, **how):
        asked.append(how)
        return table.iloc[:0]

    monkeypatch.setattr(api, "run", run)
    (record,) = facts.requests
    record = dataclasses.replace(record, ood=("gaussian-noise",), concepts="shapes")
    changed = dataclasses.replace(facts, requests=(record,))
    wrong = rerun.rerun(table, changed, rerun.drawn(facts, 1, 0), tmp_path / "store")
    assert (asked[0]["ood"], asked[0]["concepts"]) == (["gaussian-noise"], "shapes")
    assert re.fullmatch(r"omp 59\.0 % seed [01]: the run has none of its scores", wrong[0])
    rerun.rerun(table, facts, rerun.drawn(facts, 1, 0), tmp_path / "store")
    assert (asked[1]["ood"], asked[1]["concepts"]) == (None, None)


def test_only_a_verdict_that_asked_for_fewer_scores_is_of_an_earlier_version():
    now = run_facts.asked(plan.plan(request.ask("digits-r8", ["omp"], metrics=["accuracy", "ece"]), ()))
    aspects, scores = now["aspects"], now["scores"]
    assert facts_told._asked_for_fewer("aspects", aspects[:1], aspects)
    wider = (dataclasses.replace(aspects[0], margin=0.5), *aspects[1:])
    assert not facts_told._asked_for_fewer("aspects", wider, aspects)
    before = tuple(dataclasses.replace(s, verdict=False) for s in scores)
    assert facts_told._asked_for_fewer("scores", before, scores)
    assert not facts_told._asked_for_fewer("scores", scores, before)
    assert not facts_told._asked_for_fewer("seeds", (0,), (0, 1))


def test_a_check_tells_what_it_found_as_json(whole, tmp_path, capsys, monkeypatch):
    main(["verify", str(whole), "--json", "--unpack", str(tmp_path / "table")])
    told = json.loads(capsys.readouterr().out)
    files = told.pop("files")
    assert str(tmp_path / "table" / "scores.csv") in files
    table, _ = bundle.verify(whole)
    assert told == {
        **{"bundle": str(whole), "holds": True, "reason": None, "task": "digits-r8", "budget": "quick"},
        **{"networks": 4, "scores": len(table), "rerun": None},
    }
    differs = ["omp 0.59 seed 0: ece is 0.1, run again 0.2"]
    monkeypatch.setattr(rerun, "rerun", lambda *_, **__: differs)
    with pytest.raises(SystemExit) as end:
        main(["verify", str(whole), "--json", "--rerun", "1", "--draw", "3", "--methods", "omp"])
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (end.value.code, told["holds"]) == (1, False)
    assert (told["rerun"]["draw"], told["rerun"]["differs"]) == (3, differs)
    (again,) = told["rerun"]["networks"]
    assert again in table[["method", "sparsity", "seed"]].to_dict("records")
    assert again["method"] == "omp"
    assert "--draw 3" in err


def test_a_bundle_that_was_changed_is_told_as_json(whole, tmp_path, capsys):
    path = tmp_path / "changed.zip"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b"omp", b"imp") if name == "scores.csv" else content)
    with pytest.raises(SystemExit) as end:
        main(["verify", str(path), "--json"])
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (end.value.code, told["holds"], told["networks"]) == (1, False, None)
    assert "scores.csv was changed" in told["reason"]
    assert err == f"Error: {told['reason']}\n"
