"""Two processes on the CPU give what one gives; they run everything in one go, because starting them takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cut
import pytest
import shared_run
import torch
from safetensors.torch import load_file

from unweave.base.errors import UnweaveError
from unweave.cli import main
from unweave.decompose import run
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.processes import ALONE, Processes, join_processes
from unweave.decompose.run import decompose


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where both processes left what they found."""
    from torch import multiprocessing

    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(shared_run.work, (str(folder),), nprocs=2)
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return [
        (json.loads((folder / f"{rank}.json").read_text()), load_file(folder / f"{rank}.safetensors"))
        for rank in range(2)
    ]


def tensors_of(tensors, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@pytest.mark.parametrize("number", range(len(shared_run.CASES)), ids=lambda n: str(shared_run.CASES[n]))
def test_two_processes_measure_descend_and_end_as_one_does(found, number):
    name, _, batch = shared_run.CASES[number]
    wanted = cut.uncut(name) if batch == 6 else cut.measured(cut.config_of(name), batch)
    told, tensors = found[0]
    gradients = [tensors_of(tensors, f"{number}|{step}|") for step in range(cut.STEPS)]
    # The other process has nothing to log.
    assert found[1][0][f"case {number}"] == []
    cut.assert_same((told[f"case {number}"], gradients, tensors_of(tensors, f"{number}||")), wanted)


def test_the_runs_above_prune():
    assert cut.uncut(shared_run.PRUNED)[2]["up/V"].shape[1] < 12


def test_both_processes_hold_the_same_tensors_to_the_bit(found):
    (_, first), (_, second) = found
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_the_first_process_alone_writes_checkpoints_and_logs_and_both_go_on_from_them(found):
    (first, tensors), (second, _) = found
    assert (first["writes"], second["writes"]) == (3, 0)
    assert first["logged"] == [1] * cut.STEPS
    assert "logged" not in second
    case = list(cut.RUNS).index(shared_run.PRUNED)
    wanted = tensors_of(tensors, f"{case}||")
    resumed = tensors_of(tensors, "going on||")
    assert resumed.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in resumed.items())


def test_groups_are_trained_by_both_and_saved_once(found, folder):
    (first, _), (second, _) = found
    made = Decomposition.load(folder / "made")
    assert first["groups"]["digest"] == second["groups"]["digest"] == made.digest()
    assert (first["groups"]["finished groups"], second["groups"]["finished groups"]) == (2, 0)
    assert list(made.sites) == ["up", "down"]
    assert not [name for name in first["groups"]["left"] if "training" in name or "part" in name]
    assert first["groups"]["card"] == 2


def test_processes_that_were_given_different_things_are_refused_alike(found):
    for told, _ in found:
        for what in ("other data", "other settings"):
            assert "the digest of settings, target and data is " in told["refused"][what]
            assert " in process 1: all processes need the same data" in told["refused"][what]
        assert "a step has 1 sample and there are 2 processes" in told["refused"]["too few samples"]


def test_an_error_in_one_process_ends_the_other_with_a_line_that_says_what_it_was(found):
    for name, (where, *_, kind) in shared_run.STOPPED.items():
        failed, other = found[where][0]["stopped"][name], found[1 - where][0]["stopped"][name]
        assert failed == f"{kind.__name__}: the disk is full\nand more"
        assert other.endswith(f"Stopped: process {where} stopped, and the others with it: the disk is full"), other


def test_a_process_that_is_gone_ends_the_others(monkeypatch):
    from unweave.decompose import processes

    def raising(error):
        def all_reduce(_):
            raise error

        monkeypatch.setattr(processes.dist, "all_reduce", all_reduce)

    raising(processes.dist.DistBackendError("remote process exited"))
    with pytest.raises(UnweaveError, match=r"^another process is gone, .*: remote process exited$"):
        Processes(0, 2).agree("anything", 1)
    raising(RuntimeError("No backend type associated with device type cpu"))
    with pytest.raises(RuntimeError, match=r"^No backend"), Processes(0, 2).together():
        Processes(0, 2).agree("anything", 1)
    raising(RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer\nmore"))
    with pytest.raises(UnweaveError, match=r"^another process is gone, .* Connection closed by peer$"):
        Processes(0, 2).agree("anything", 1)
    # What went wrong here is what is raised here, even when nobody is left to hear of it.
    with pytest.raises(ValueError, match="own"), Processes(0, 2).together():
        raise ValueError("own")


def test_processes_meet_on_a_device_that_their_group_has_a_backend_for(monkeypatch):
    from unweave.decompose import processes

    monkeypatch.setattr(processes.dist, "is_initialized", lambda: True)
    for backends, device in (("cuda:nccl", "cuda"), ("cpu:gloo,cuda:nccl", "cpu"), ("cuda:gloo,cpu:gloo", "cpu")):
        monkeypatch.setattr(processes.dist, "get_backend_config", lambda backends=backends: backends)
        assert processes._meeting_device() == device


def test_one_process_alone_shares_with_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes() == ALONE
    tensor = torch.ones(3)
    ALONE.add_up([tensor])
    ALONE.copy_first([tensor])
    ALONE.agree("anything", 1)
    assert torch.equal(tensor, torch.ones(3))
    assert ALONE.share(5) == range(5)
    assert ALONE.own("abc") == ["a", "b", "c"]


def test_shares_are_all_samples_once_and_items_are_dealt_in_turn():
    for samples, count in ((5, 2), (9, 4), (4, 4)):
        shares = [Processes(rank, count).share(samples) for rank in range(count)]
        assert [sample for share in shares for sample in share] == list(range(samples))
    assert [Processes(rank, 2).own("abc") for rank in range(2)] == [["a", "c"], ["b"]]
    with pytest.raises(UnweaveError, match="a step has 3 samples and there are 4 processes"):
        Processes(0, 4).share(3)


def test_sums_are_taken_over_tensors_of_every_size_and_type(monkeypatch):
    """In blocks, however they fall; the sum itself is doubled here, as two equal processes would have it."""
    from unweave.decompose import processes

    blocks = []

    def double(tensor):
        blocks.append(tensor.numel())
        tensor.mul_(2)

    monkeypatch.setattr(processes.dist, "all_reduce", double)
    monkeypatch.setattr(processes, "BUCKET_BYTES", 40)
    tensors = [torch.ones(3, 4), torch.ones(()), torch.ones(2, dtype=torch.float64), torch.ones(5, 2).T, torch.ones(1)]
    Processes(0, 2).add_up(tensors)
    assert all(torch.equal(tensor, 2 * torch.ones_like(tensor)) for tensor in tensors)
    assert sorted(blocks) == [1, 1, 2, 11, 12]  # one more says that no process has failed


@pytest.mark.slow
def test_torchrun_runs_the_command_line_in_two_processes_and_one_prints(
    llama, tokenizer, tmp_path, monkeypatch, capsys
):
    """Its numbers are those of one process; there is one run and one line of JSON."""
    llama.module.save_pretrained(tmp_path / "target")
    tokenizer.save_pretrained(tmp_path / "target")
    (tmp_path / "text").mkdir()
    for label in ("cat", "moon"):
        text = "\n\n".join(f"the {label} sat on the mat {n} and looked at the moon and the sea" for n in range(60))
        (tmp_path / "text" / f"{label}.txt").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNWEAVE_COMPILE", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sites = "model.layers.1.mlp.*"
    small = {"steps": 3, "batch": 4, "hidden": 4, "subcomponents": 4, "window_length": 8, "faithfulness_steps": 0}
    arguments = ["decompose", "target", "--corpus", "text", "--method", "whole-model", "--sites", sites, "--json"]
    arguments += ["--device", "cpu", *(f"--set={name}={value}" for name, value in small.items())]
    assert main([*arguments, "--out", "one"]) == 0, capsys.readouterr().err
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "unweave"]
    done = subprocess.run([sys.executable, *launch, *arguments, "--out", "two"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decomposition"] == "two"
    assert len(list(Path("runs").glob("decompose*"))) == 2
    one, two = (Decomposition.load(Path(name)) for name in ("one", "two"))
    assert (one.card["processes"], two.card["processes"]) == (1, 2)
    cut.assert_same(([], [], two.tensors()), ([], [], one.tensors()))


def test_other_commands_and_the_other_method_refuse_torchrun(monkeypatch, capsys, llama, planted_text):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    assert main(["evaluate", "target", "one"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "unweave, process 1 of 2: evaluate runs in one process: leave out torchrun\n"
    monkeypatch.setattr(run, "join_processes", lambda: Processes(1, 2))
    with pytest.raises(UnweaveError, match="the site-local method starts in one process"):
        decompose(llama, planted_text, SiteLocalConfig(sites="model.layers.1.mlp.down_proj"))
