"""Training steps of a network of polycosm in PyTorch, beside `polycosm bench train`: the same operators in the same order.

    polycosm --threads 1 bench train --cnn resnet18 --maps 1,4,64 --batch 64 --plain --keep /tmp/net --json
    python3 benches/peers/train.py --polycosm target/release/polycosm --cnn resnet18 --maps 1,4,64 --batch 64

Runs both by turns, so that what else the machine does meets both, and prints the ratios PyTorch/polycosm of wall and of processor time, in
PyTorch's better memory format: above 1, polycosm is faster.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))


def steps(folder, shape, batch, count, threads, channels_last):
    """Medians of wall and processor seconds of a step, as `bench train` takes them."""
    import torch

    import polycosm_torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    stage = polycosm_torch.load(folder).train()
    if channels_last:
        of = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
        for module in stage.modules():
            for name, weight in module.named_parameters(recurse=False):
                if weight.dim() == len(shape):
                    weight.data = weight.data.contiguous(memory_format=of)
    x, theta = torch.rand(batch, *shape), torch.rand(batch, 2)
    learned = [p for p in stage.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=1e-4, weight_decay=1e-4, fused=True)
    times, worked = [], 0.0
    for step in range(count + 2):
        if step == 2:
            worked = time.process_time()
        start = time.perf_counter()
        loss = -stage.log_prob(theta, x).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 5.0)
        optimiser.step()
        loss.item()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:]), (time.process_time() - worked) / count


def main():
    of = argparse.ArgumentParser()
    of.add_argument("--polycosm", default="target/release/polycosm")
    of.add_argument("--cnn", default="small")
    of.add_argument("--maps", default="3,4,64")
    of.add_argument("--batch", type=int, default=32)
    of.add_argument("--steps", type=int, default=5)
    of.add_argument("--threads", type=int, default=1)
    of.add_argument("--pairs", type=int, default=9)
    of.add_argument("--own", nargs=2, metavar=("FOLDER", "FORMAT"), help=argparse.SUPPRESS)
    a = of.parse_args()
    views, channels, n = map(int, a.maps.split(","))
    shape = [views, channels] + [n] * (3 if a.cnn == "cosmoflow" else 2)
    if a.own:
        print(json.dumps(steps(a.own[0], shape, a.batch, a.steps, a.threads, a.own[1] == "last")))
        return
    quiet = os.environ | {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(a.threads)}
    with tempfile.TemporaryDirectory() as folder:
        common = ["--cnn", a.cnn, "--maps", a.maps, "--batch", str(a.batch), "--steps", str(a.steps)]

        def polycosm():
            words = [a.polycosm, "--threads", str(a.threads), "bench", "train", *common, "--plain", "--keep", folder, "--json"]
            made = json.loads(subprocess.run(words, check=True, capture_output=True, text=True, env=quiet).stdout)
            return made["step_seconds"], made["stages"][1]["seconds_mean"] * a.batch

        def peer(kind):
            words = [sys.executable, __file__, *common, "--threads", str(a.threads), "--own", folder, kind]
            return json.loads(subprocess.run(words, check=True, capture_output=True, text=True, env=quiet).stdout)

        ratios = {kind: [] for kind in ("contiguous", "last")}
        for pair in range(a.pairs):
            own = polycosm()
            for kind in ratios:
                other = peer(kind)
                ratios[kind].append([o / m for o, m in zip(other, own)])
            print(pair + 1, own, {kind: [round(r, 3) for r in all_[-1]] for kind, all_ in ratios.items()}, flush=True)
        for kind, all_ in ratios.items():
            wall, work = ([r[i] for r in all_] for i in (0, 1))
            spread = lambda r: f"{statistics.median(r):.3f} ({min(r):.3f} to {max(r):.3f})"
            print(f"{a.cnn} {a.maps} batch {a.batch}, {a.threads} thread(s), {kind}: wall {spread(wall)}, processor {spread(work)}")


if __name__ == "__main__":
    main()
