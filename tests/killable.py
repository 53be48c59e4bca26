"""Decompositions in processes that are killed, or that the disk refuses: a script that ``test_survival.py`` runs.

    python killable.py METHOD FOLDER TARGET CORPUS

What is heavy is imported once, and each decomposition is a fork of this process. Prints what happened as JSON.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import planted
import tiny
import torch

from unweave.base.errors import UnweaveError
from unweave.corpora.files import load_corpus
from unweave.decompose import checkpoint, compiled, site_local
from unweave.decompose.checkpoint import read_checkpoint
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.run import decompose
from unweave.models.load import load_target

KILLS = 4
STEPS = 40


class Runs:
    """One decomposition, each time in a process of its own with a checkpoint after every step."""

    def __init__(self, method, folder, target, corpus):
        self.folder = folder
        if method == "whole-model":
            self.checkpoint = "whole-model.safetensors"
            config = replace(tiny.CONFIG, steps=STEPS, prune_at=(0.3, 0.6), prune_below=0.96, sparsity=0.1)
            self.arguments = tiny.words(), tiny.sentences(), config
        else:
            self.checkpoint = f"{planted.SITE}.safetensors"
            config = replace(planted.CONFIG, sites=planted.SITE, steps=STEPS, windows=10, batch=64)
            self.arguments = load_target(target, device="cpu"), load_corpus(corpus), config

    def start(self, out, prepare=lambda: None, log=None):
        """A process that decomposes into ``out``; a refusal is left in ``OUT.refusal``."""
        process = os.fork()
        if process:
            return process
        code = 70
        try:
            prepare()
            decompose(*self.arguments, out=out, check=False, checkpoint_seconds=0, log=log)
            code = 0
        except UnweaveError as error:
            Path(f"{out}.refusal").write_text(str(error), encoding="utf-8")
            code = error.exit_code
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def run(self, out, prepare=lambda: None):
        """How such a process ended, and what it left."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.start(out, prepare), 0)[1])
        return self.after(out, code)

    def after(self, out, code):
        """Steps of the checkpoint, which is read whole; and what writes that were cut off left behind."""
        path, refusal = Path(f"{out}.training") / self.checkpoint, Path(f"{out}.refusal")
        said = refusal.read_text(encoding="utf-8") if refusal.exists() else None
        refusal.unlink(missing_ok=True)
        found = read_checkpoint(path, {})
        partial = [left.name for left in (*path.parent.glob(".*"), *out.parent.glob(f".{out.name}*"))]
        kept = {"steps": found and found[0], "bytes": path.stat().st_size if found else 0}
        kept["kept"] = [each.name for each in path.parent.glob("[!.]*")]
        return {"code": code, "said": said, "partial": partial, "made": digest(out), **kept}


def digest(out):
    return json.loads((out / "decomposition.json").read_text())["sha256"] if out.exists() else None


def at_write(number, before=lambda: None, half_way=lambda: None):
    """Does something before the checkpoint of that number, from 1, is written, or when half of it is."""

    def prepare():
        written, save = 0, checkpoint.save_tensors

        def saving(tensors, path, metadata):
            nonlocal written
            written += 1
            if written == number:
                before()
            save(tensors, path, metadata)
            if written == number:
                os.truncate(path, path.stat().st_size // 2)
                half_way()
                raise AssertionError("half of a checkpoint was about to be taken for a whole one")

        checkpoint.save_tensors = saving

    return prepare


def at_the_end(out, before):
    """Does something before the decomposition itself is saved."""

    def prepare():
        save = Decomposition.save

        def saving(self, folder, *arguments, **options):
            if Path(folder) == out:
                before()
            save(self, folder, *arguments, **options)

        Decomposition.save = saving

    return prepare


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def limit_files():
    """From now on no file of this process may be larger than a kilobyte: the kernel refuses, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))


def killed_at_random(runs):
    """From outside, some time after some more steps, whatever it is doing then; at last it is left to finish."""
    out, chance, found = runs.folder / "random.decomp", random.Random(0), []
    for steps in (0, *(chance.randint(2, 6) for _ in range(KILLS - 1))):
        reading, writing = os.pipe()
        process = runs.start(out, log=lambda _, pipe=writing: os.write(pipe, b"."))
        os.close(writing)
        for _ in range(steps):
            os.read(reading, 1)
        time.sleep(chance.uniform(0, 0.02))
        os.kill(process, signal.SIGKILL)
        found.append(runs.after(out, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])))
        os.close(reading)
    return [*found, runs.run(out)]


def killed_while_writing(runs):
    """With half of the first checkpoint written; of another; and of the one after the last step."""
    out = runs.folder / "writing.decomp"
    hooks = [at_write(number, half_way=kill) for number in (1, 16, STEPS - 15)]
    return [*(runs.run(out, hook) for hook in hooks), runs.run(out)]


def refused(runs):
    """The fourth checkpoint; then the decomposition itself; then neither."""
    out = runs.folder / "refused.decomp"
    return [
        runs.run(out, at_write(4, before=limit_files)),
        runs.run(out, at_the_end(out, limit_files)),
        runs.run(out),
    ]


def on_a_full_disk(runs, size):
    """A disk with room for one checkpoint and a half, then a larger one; nothing where none can be mounted."""
    disk = runs.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size * 3 // 2}", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        return None
    try:
        found = runs.run(disk / "full.decomp")
        subprocess.run(["mount", "-o", f"remount,size={20 * size}", str(disk)], check=True)
        return [found, runs.run(disk / "full.decomp")]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        disk.rmdir()


def main(method, folder, target, corpus):
    torch.set_num_threads(1)
    compiled.compiler_works = site_local.compiler_works = lambda: False
    os.environ["UNWEAVE_CACHE"] = str(Path(folder) / "cache")
    runs = Runs(method, Path(folder), target, corpus)
    report = {"whole": [runs.run(runs.folder / "whole.decomp")]}
    report["writing"] = killed_while_writing(runs)
    report["random"] = killed_at_random(runs)
    report["refused"] = refused(runs)
    if method == "whole-model":  # the other asks for room before it begins
        report["disk"] = on_a_full_disk(runs, report["refused"][0]["bytes"])
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
