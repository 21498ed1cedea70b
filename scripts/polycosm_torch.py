"""Trained stages of polycosm in PyTorch: what a compressor makes of samples, and posteriors to sample and evaluate.

    compressor, posterior = load("runs/mine/train/compressor"), load("runs/mine/train/posterior")
    summaries = compressor(maps)                      # (n, …) as the dataset has them
    theta = posterior.sample(summaries[:1], 1000)     # (1000, parameters)
    ln_q = posterior.log_prob(theta, summaries[:1])   # (1000)

A stage's folder holds `model.json` and `weights.safetensors`, whose names are those of `state_dict()` here. Stages with several
inputs take a dictionary of them by name. Needs torch and safetensors.
"""

import json
import math
from pathlib import Path
from statistics import NormalDist

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

DOUBLE, TAIL, LN_TAU = torch.float64, 4.0, math.log(2 * math.pi)


class Node(nn.Module):
    """Parameters by their names in the file; scales and closed forms, in double precision there, are buffers."""

    def __init__(self, tensors):
        super().__init__()
        below = {}
        for name, t in tensors.items():
            first, _, rest = name.partition(".")
            if rest:
                below.setdefault(first, {})[rest] = t
            elif t.dtype == DOUBLE:
                self.register_buffer(first, t)
            else:
                self.register_parameter(first, nn.Parameter(t))
        for name, inner in below.items():
            self.add_module(name, Node(inner))

    def __contains__(self, name):
        return hasattr(self, name)

    def all(self, start):
        """Modules `start0`, `start1`, …, or from 1, in order."""
        own = [name for name, _ in self.named_children() if name.startswith(start) and name[len(start):].isdigit()]
        return [getattr(self, name) for name in sorted(own, key=lambda name: int(name[len(start):]))]


# --- What networks see -----------------------------------------------------------------------------


def standardised(x, node, transforms):
    """Samples (n, groups, …) as networks take them: transformed, of mean 0 and variance 1, what lies far out drawn in."""
    x, n = x.to(DOUBLE), x.shape[1] // len(transforms)
    parts = []
    for i, transform in enumerate(transforms):
        of = slice(i * n, (i + 1) * n)
        part = x[:, of]
        if transform == "log1p":
            part = torch.log1p(part)
        elif transform == "log":
            part = torch.log(part)
        elif transform == "asinh":
            part = torch.asinh(part / node.unit[of])
        elif transform == "auto" and "bent" in node:
            part = torch.where(node.bent[of] > 0, torch.asinh((part - node.about[of]) / node.unit[of]), part)
        parts.append(part)
    z = (torch.cat(parts, 1) - node.centre) / node.scale * node.active
    size = z.abs()
    return ((size.minimum(node.limit) + (size - node.limit).clamp_min(0).log1p()) * z.sign()).float()


# --- Networks --------------------------------------------------------------------------------------


def linear(x, node):
    return F.linear(x, node.weight, node.bias)


def mlp(x, node):
    first, *others = node.all("layer")
    x = linear(x, first)
    for layer in others:
        x = linear(F.silu(x), layer)
    return x


def conv(x, node, circular, stride=1):
    size, axes = node.weight.shape[-1], x.dim() - 2
    padding = size // 2
    if circular and size > 1:
        x, padding = F.pad(x, (padding,) * (2 * axes), mode="circular"), 0
    return (F.conv2d if axes == 2 else F.conv3d)(x, node.weight, node.bias, stride, padding)


def residual(x, node, circular, act, stride, skip="downsample", activated=True, bare=False):
    """One block: convolutions after activations, their sum scaled by a number that began at zero."""
    names = [name for name, _ in node.named_children() if name.startswith("conv") or name in ("first", "second")]
    names.sort(key=["conv1", "first", "conv2", "second", "conv3"].index)
    first, *others = [getattr(node, name) for name in names]
    seen = x if bare else act(x)
    h = conv(seen, first, circular, stride)
    for layer in others:
        h = conv(act(h), layer, circular)
    if skip in node:
        x = conv(seen if activated else x, getattr(node, skip), circular, stride)
    return x + h * node.scale


def cnn(x, node, kind, circular):
    """Pictures (n, channels, …) to (n, outputs)."""
    if kind == "cosmoflow":
        act = lambda h: F.leaky_relu(h, 0.3)
        for stage in node.all("conv"):
            for layer in stage.all(""):
                x = act(conv(x, layer, circular))
            x = F.max_pool3d(x, 2)
        x = act(linear(x.flatten(1), node.fc1))
        return linear(act(linear(x, node.fc2)), node.fc3)
    if kind == "small":
        x = conv(x, node.stem, circular, 2)
        for s, stage in enumerate(node.all("stage")):
            for b, block in enumerate(stage.all("block")):
                stride = 2 if s > 0 and b == 0 else 1
                x = residual(x, block, circular, F.silu, stride, "skip", activated=False)
        x = F.silu(x).mean((-2, -1))
        return linear(F.silu(linear(x, node.hidden)), node.summary)
    resnet = kind in ("resnet18", "resnet34")
    act = F.relu if resnet else F.elu
    x = conv(x, node.conv1, circular, 2 if resnet else 1)
    if resnet and circular:
        x = F.max_pool2d(F.pad(x, (1,) * 4, mode="circular"), 3, 2)
    elif resnet:
        x = F.max_pool2d(x, 3, 2, 1)
    for s, stage in enumerate(node.all("layer")):
        for b, block in enumerate(stage.all("")):
            stride = 2 if s > 0 and b == 0 else 1
            x = residual(x, block, circular, act, stride, bare=not resnet and s == b == 0)
    return linear((act(x) if resnet else x).mean((-2, -1)), node.fc)


# --- Densities -------------------------------------------------------------------------------------


def quantile(q, u):
    """The value of a Gaussian prior, cut off on one side, below which a fraction u of it lies."""
    normal = NormalDist()
    a, b = (q["min"] - q["mean"]) / q["sigma"], (q["max"] - q["mean"]) / q["sigma"]
    if a > -b:
        a, b, u, sign = -b, -a, 1 - u, -1
    else:
        sign = 1
    z = normal.inv_cdf(normal.cdf(a) + u * (normal.cdf(b) - normal.cdf(a)))
    return min(max(q["mean"] + q["sigma"] * sign * z, q["min"]), q["max"])


def coordinate(parameter):
    """(edge and side where t is a logarithm, low, width, whether boxed) of r = (t − low)/width."""
    inf, kind = math.inf, parameter.get("kind", "uniform")
    low, high = parameter.get("min", -inf), parameter.get("max", inf)
    if kind == "uniform":
        return None, low, high - low, True
    if kind == "log-uniform":
        return (0.0, 1.0), math.log(low), math.log(high / low), True
    if kind == "normal":
        mean, sigma = parameter["mean"], parameter["sigma"]
        low = -inf if mean - low > 8 * sigma else low
        high = inf if high - mean > 8 * sigma else high
        if low > -inf and high < inf:
            return None, low, high - low, True
        if low == -inf and high == inf:
            return None, mean, sigma, False
        edge, side = (low, 1.0) if low > -inf else (high, -1.0)
        cut = {"mean": mean, "sigma": sigma, "min": low, "max": high}
        at = lambda u: math.log(side * (quantile(cut, u) - edge))
        one = NormalDist().cdf(1.0)
        return (edge, side), at(0.5), abs(at(one) - at(1 - one)) / 2, False
    mean, sigma = parameter["ln_mean"], parameter["ln_sigma"]
    ln_low, ln_high = (math.log(low) if low > 0 else -inf), math.log(high)
    a, b = (ln_low - mean) / sigma, (ln_high - mean) / sigma
    if a < -8 and b > 8:
        return (0.0, 1.0), mean, sigma, False
    cut = {"mean": mean, "sigma": sigma, "min": ln_low, "max": ln_high}
    ends = ln_low if low > 0 and a >= -8 else quantile(cut, 2.0**-54), ln_high if b <= 8 else quantile(cut, 1 - 2.0**-53)
    return (0.0, 1.0), ends[0], ends[1] - ends[0], True


def reaches(parameter):
    """Where its density ends, and a step of single precision beyond."""
    low, high = parameter.get("min", -math.inf), parameter.get("max", math.inf)

    def step(bound):
        size = torch.tensor(abs(bound)).float()
        step = float(torch.nextafter(size, torch.tensor(math.inf)) - size)
        return step if step < 1e-4 * (high - low) else 0.0

    return low - step(low), high + step(high)


class Unbounded(nn.Module):
    """Parameters to unbounded numbers and back, each as its prior says."""

    def __init__(self, prior):
        super().__init__()
        log, low, width, boxed = zip(*map(coordinate, prior))
        edge, side = zip(*[of or (0.0, 1.0) for of in log])
        reach = list(zip(*map(reaches, prior)))
        for name, values in dict(edge=edge, side=side, low=low, width=width, least_at=reach[0], most_at=reach[1]).items():
            self.register_buffer(name, torch.tensor(values, dtype=DOUBLE), persistent=False)
        for name, values in dict(log=[of is not None for of in log], boxed=boxed).items():
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def outside(self, theta):
        return ((theta < self.least_at) | (theta > self.most_at)).any(-1)

    def unit(self, theta):
        """r and ln |dθ/dr|."""
        theta = theta.to(DOUBLE)
        least = 1e-12 * self.low.exp()
        t = torch.where(self.log, ((theta - self.edge) * self.side).maximum(least).log(), theta)
        return (t - self.low) / self.width, self.width.log() + torch.where(self.log, t, torch.zeros_like(t))

    def of_unit(self, r):
        t = r.to(DOUBLE) * self.width + self.low
        return torch.where(self.log, t.exp() * self.side + self.edge, t)

    def forward(self, theta):
        """u and ln |dθ/du|, in single precision."""
        r, ln = (t.float() for t in self.unit(theta))
        inside = r.clamp(1e-6, 1 - 1e-6)
        boxed = inside.logit(), inside.log() + (1 - inside).log() + ln
        return torch.where(self.boxed, boxed[0], r), torch.where(self.boxed, boxed[1], ln)

    def inverse(self, u):
        return self.of_unit(torch.where(self.boxed, u.sigmoid(), u))


def spline(x, q, bins, inverse=False):
    """Monotonic rational-quadratic splines (Durkan et al. 2019) and ln |dy/dx|."""
    inside, xc = x.abs() <= TAIL, x.clamp(-TAIL, TAIL)

    def knots(raw):
        c = (raw.softmax(-1) * (1 - 1e-3 * bins) + 1e-3).cumsum(-1)[..., :-1]
        c = torch.cat([torch.zeros_like(c[..., :1]), c, torch.ones_like(c[..., :1])], -1)
        return c * (2 * TAIL) - TAIL

    kx, ky = knots(q[..., :bins]), knots(q[..., bins : 2 * bins])
    d = F.softplus(q[..., 2 * bins :] + math.log(math.exp(1 - 1e-3) - 1)) + 1e-3
    d = torch.cat([torch.ones_like(d[..., :1]), d, torch.ones_like(d[..., :1])], -1)
    at = ((ky if inverse else kx)[..., 1:-1] <= xc.unsqueeze(-1)).sum(-1, keepdim=True)
    x0, y0, d0 = (t.gather(-1, at).squeeze(-1) for t in (kx, ky, d))
    x1, y1, d1 = (t.gather(-1, at + 1).squeeze(-1) for t in (kx, ky, d))
    w, h = x1 - x0, y1 - y0
    s = h / w
    curve = d0 + d1 - 2 * s
    if inverse:
        dy = xc - y0
        a, b, c = h * (s - d0) + dy * curve, h * d0 - dy * curve, -s * dy
        xi = 2 * c / (-b - (b * b - 4 * a * c).clamp_min(0).sqrt())
    else:
        xi = (xc - x0) / w
    t = xi * (1 - xi)
    slope = s * s * (d1 * xi * xi + 2 * s * t + d0 * (1 - xi) ** 2) / (s + curve * t) ** 2
    y = xi * w + x0 if inverse else y0 + h * (s * xi * xi + d0 * t) / (s + curve * t)
    ln = -slope.log() if inverse else slope.log()
    return torch.where(inside, y, x), torch.where(inside, ln, torch.zeros_like(ln))


class Flow:
    """Autoregressive layers of affine maps and splines, conditioned on a context (MADE, Germain et al. 2015)."""

    def __init__(self, node, p):
        self.layers, self.p = node.all("layer"), p
        self.bins = (self.layers[0].last.weight.shape[0] // p - 1) // 3
        hidden = torch.arange(self.layers[0].first.weight.shape[0]) % p
        inputs, outputs = torch.arange(1, p + 1), torch.arange(p).repeat_interleave(1 + 3 * self.bins)
        degrees = (hidden, inputs), (hidden, hidden), (outputs, hidden)
        self.masks = [(inn[None] <= out[:, None]).float() for out, inn in degrees]

    def parameters(self, u, context, layer):
        masked = lambda x, node, mask: F.linear(x, node.weight * mask.to(x.device), node.bias)
        h = F.silu(masked(u, layer.first, self.masks[0]) + linear(context, layer.context))
        h = h + F.silu(masked(h, layer.second, self.masks[1]))
        q = masked(h, layer.last, self.masks[2]).view(len(u), self.p, -1)
        return q[..., 0], 5 * torch.tanh(q[..., 1] / 5), q[..., 2:]

    def ln_density(self, u, jacobian, context):
        """ln q of u (n, p) with ln |dθ/du| (n, p)."""
        ln = -jacobian.sum(-1)
        for i, layer in enumerate(self.layers):
            u = u.flip(-1) if i % 2 else u
            shift, ln_scale, q = self.parameters(u, context, layer)
            u, own = spline((u - shift) * (-ln_scale).exp(), q, self.bins)
            ln = ln + (own - ln_scale).sum(-1)
            u = u.flip(-1) if i % 2 else u
        return ln - 0.5 * (u * u).sum(-1) - 0.5 * self.p * LN_TAU

    def transport(self, z, context):
        """Base draws z (n, p) to u (n, p), one dimension after another."""
        for i, layer in reversed(list(enumerate(self.layers))):
            z = z.flip(-1) if i % 2 else z
            u = torch.zeros_like(z)
            for j in range(self.p):
                shift, ln_scale, q = (t[:, j] for t in self.parameters(u, context, layer))
                a, _ = spline(z[:, j], q, self.bins, inverse=True)
                u = torch.cat([u[:, :j], (a * ln_scale.exp() + shift)[:, None], u[:, j + 1 :]], 1)
            z = u.flip(-1) if i % 2 else u
        return z


ndtr, ndtri = torch.special.ndtr, torch.special.ndtri


class Cut:
    """Gaussians that are cut off at 0 and 1, from the side on which their shares have all digits."""

    def __init__(self, mean, sigma):
        self.mean = mean.maximum(-5 * sigma).minimum(5 * sigma + 1)
        low, high = -self.mean / sigma, (1 - self.mean) / sigma
        leans = low + high > 0
        self.sign = torch.where(leans, -1.0, 1.0).to(DOUBLE)
        low, self.high = torch.where(leans, -high, low), torch.where(leans, -low, high)
        self.below, self.up_to = ndtr(low), ndtr(self.high)
        self.within = self.up_to - self.below

    def to_normal(self, w):
        w = w * self.sign
        lower = (ndtr(w) - self.below) / self.within
        upper = torch.where(w > 0, ndtr(-w) - ndtr(-self.high), self.up_to - ndtr(w)) / self.within
        u = ndtri(lower.minimum(upper).clamp_min(1e-12))
        return torch.where(lower < upper, u, -u) * self.sign

    def at_normal(self, u):
        u = u * self.sign
        share, lower = ndtr(-u.abs()) * self.within, u < 0
        below = torch.where(lower, self.below + share, self.up_to - share)
        above = ndtr(-self.high) + torch.where(lower, self.within - share, share)
        w = torch.where(below < 0.5, ndtri(below.clamp_min(1e-300)), -ndtri(above.clamp_min(1e-300)))
        return w * self.sign


class Start:
    """The posterior of a linear model, cut off at the prior's bounds, as a map of θ to standard normal numbers."""

    def __init__(self, node, unbounded):
        self.node, self.unbounded = node, unbounded

    def terms(self, x, r):
        t = (x.to(DOUBLE) - self.node.centre) @ self.node.projection
        return t, torch.cat([torch.ones_like(t[:, :1]), t, r - t], 1)

    def forward(self, theta, x):
        """u and ln |dθ/du| (n, p)."""
        r, ln = self.unbounded.unit(theta)
        mean, sigma = self.terms(x, r)[1] @ self.node.slopes.T, self.node.sigma
        cut = Cut(mean, sigma)
        w = (r - cut.mean) / sigma
        u = cut.to_normal(w)
        boxed = (w * w - u * u) / 2 + cut.within.log() + sigma.log()
        u, own = torch.where(self.unbounded.boxed, u, (r - mean) / sigma), torch.where(self.unbounded.boxed, boxed, sigma.log())
        return u.float(), (ln + own).float()

    def inverse(self, u, x):
        u, r = u.to(DOUBLE), self.terms(x, torch.zeros(len(u), u.shape[1], dtype=DOUBLE, device=u.device))[0]
        for i in range(u.shape[1]):
            mean, sigma = self.terms(x, r)[1] @ self.node.slopes[i], self.node.sigma[i]
            cut = Cut(mean, sigma)
            boxed = (cut.at_normal(u[:, i]) * sigma + cut.mean).clamp(0, 1)
            own = torch.where(self.unbounded.boxed[i], boxed, u[:, i] * sigma + mean)
            r = torch.cat([r[:, :i], own[:, None], r[:, i + 1 :]], 1)
        return self.unbounded.of_unit(r)


# --- Stages ----------------------------------------------------------------------------------------


class Stage(nn.Module):
    """A trained stage; its variables are named as in its file."""

    def __init__(self, record, tensors):
        super().__init__()
        self.record, self.net = record, Node(tensors)
        config, self.prior = record["stage"], record["prior"]
        self.network, self.p = config["network"], len(record["prior"])
        self.inputs = [config["input"]] if isinstance(config["input"], str) else config["input"]
        self.unbounded = Unbounded(self.prior)
        if self.network.get("flow", {}).get("kind") not in (None, "spline"):
            raise NotImplementedError(f"a flow of kind {self.network['flow']['kind']}")
        axes = {of["field"]: of.get("axes", []) for of in record["dataset"]["fields"]}
        ends = [(axes.get(name.strip("/")) or ["none"])[-1] for name in self.inputs]
        pieces = config.get("data", {}).get("pieces")
        self.periodic = [end == "periodic" and not pieces for end in ends]

    def transforms(self, name):
        said = self.network["transform"]
        if isinstance(said, dict):
            said = said.get(name, "none")
        return [said] if isinstance(said, str) else said

    def columns(self, x):
        return [x] if len(self.inputs) == 1 else [x[name] for name in self.inputs]

    def compressed(self, x, node):
        """(n, outputs): the inputs through their networks, views averaged."""
        made = []
        for i, (name, x) in enumerate(zip(self.inputs, self.columns(x))):
            own, n = (node if len(self.inputs) == 1 else getattr(node, f"input{i}")), len(x)
            if "cnn" in own:
                groups, *ones = own.input.centre.shape
                x = x.reshape(-1, groups, *x.shape[x.dim() - len(ones) :])
            else:
                x = x.reshape(n, -1)
            z = standardised(x, own.input, self.transforms(name))
            config = self.network["cnn"]
            circular = self.periodic[i] and config["periodic"]
            out = cnn(z, own.cnn, config.get("kind", "small"), circular) if "cnn" in own else mlp(z, own.mlp)
            made.append(out.view(n, -1, out.shape[-1]).mean(1))
        return made[0] if len(made) == 1 else mlp(torch.cat(made, 1), node.joint)


class Vmim(Stage):
    """A compressor: (n, summaries), and the density that judged them."""

    def forward(self, x):
        return self.compressed(x, self.net.vmim)

    def log_prob(self, theta, x):
        u, jacobian = self.unbounded(theta)
        ln = Flow(self.net.vmim.flow, self.p).ln_density(u, jacobian, self(x))
        return ln.masked_fill(self.unbounded.outside(theta), -math.inf)


class Regression(Stage):
    """Posterior moments: [mean], and [sd] or [covariance]."""

    def forward(self, x):
        node, p = self.net.regression, self.p
        out = self.compressed(x, node)
        mean, rest, loss = out[:, :p] * node.scale + node.centre, out[:, p:], self.network["loss"]
        bounded = lambda ln: 10 * torch.tanh(ln / 10)
        if loss == "mse":
            return [mean]
        if loss != "gaussian-full":
            return [mean, bounded(rest).exp() * node.scale]
        lower = torch.diag_embed(bounded(rest[:, :p]).exp())
        i, j = torch.tril_indices(p, p, -1)
        lower[:, i, j] = rest[:, p:]
        inverse = torch.linalg.inv(lower)
        return [mean, inverse.mT @ inverse * node.scale[:, None] * node.scale]


class Npe(Stage):
    """A posterior: a mixture of flows, and of the linear model that they begin at."""

    def __init__(self, record, tensors):
        super().__init__(record, tensors)
        self.members = self.net.all("member")
        self.start = Start(self.members[0].linear, self.unbounded) if "linear" in self.members[0] else None
        n = len(self.members)
        self.shares = self.members[0].shares if self.start else torch.full([n], 1 / n, dtype=DOUBLE)

    def seen(self, x, member):
        alone = len(self.inputs) == 1
        names = ["input"] if alone else [f"input{i}" for i in range(len(self.inputs))]
        z = [standardised(t.reshape(len(t), -1), getattr(member, own), self.transforms(name))
             for own, name, t in zip(names, self.inputs, self.columns(x))]
        return torch.cat(z, 1)

    def context(self, x, member):
        z = self.seen(x, member)
        return mlp(z, member.embedding) if "embedding" in member else z

    def each(self, theta, x):
        """ln q of each member and of the linear model, (n, members + 1)."""
        flow = lambda member: Flow(member.flow, self.p)
        u, jacobian = self.start.forward(theta, self.seen(x, self.members[0])) if self.start else self.unbounded(theta)
        ln = [flow(member).ln_density(u, jacobian, self.context(x, member)) for member in self.members]
        if self.start:
            ln.append((-0.5 * u * u - jacobian - 0.5 * LN_TAU).sum(-1))
        return torch.stack(ln, 1).masked_fill(self.unbounded.outside(theta)[:, None], -math.inf)

    def log_prob(self, theta, x):
        """ln q(θ | x) (n): θ (n, p), and x of n samples, or of one."""
        x = expanded(x, len(theta))
        return torch.logsumexp(self.each(theta, x).to(DOUBLE) + self.shares.log(), 1)

    def transport(self, z, x, member):
        """Base draws z (n, p) to θ (n, p) by a member of the mixture, for x of n samples, or of one."""
        x = expanded(x, len(z))
        u = z
        if member < len(self.members):
            own = self.members[member]
            u = Flow(own.flow, self.p).transport(z, self.context(x, own))
        return self.start.inverse(u, self.seen(x, self.members[0])) if self.start else self.unbounded.inverse(u)

    @torch.no_grad()
    def sample(self, x, n, generator=None):
        """(n, p) draws for one sample x (1, …)."""
        device = self.shares.device
        members = torch.multinomial(self.shares, n, replacement=True, generator=generator)
        z = torch.randn(n, self.p, generator=generator, device=device)
        theta = torch.empty(n, self.p, dtype=DOUBLE, device=device)
        for m in members.unique().tolist():
            theta[members == m] = self.transport(z[members == m], x, m)
        return theta


def expanded(x, n):
    """One sample as many times as needed."""
    if isinstance(x, dict):
        return {name: expanded(t, n) for name, t in x.items()}
    return x.expand(n, *x.shape[1:]) if len(x) == 1 else x


def load(folder):
    """The stage in a folder, `runs/mine/train/NAME`."""
    record = json.loads((Path(folder) / "model.json").read_text())
    tensors = load_file(Path(folder) / "weights.safetensors")
    kinds = {"vmim": Vmim, "regression": Regression, "npe": Npe}
    return kinds[record["stage"]["network"]["kind"]](record, tensors).eval()
