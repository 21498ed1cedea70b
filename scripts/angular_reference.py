#!/usr/bin/env python3
"""Writes tests/data/{ccl,camb}_angular.txt: angular spectra by CCL (Limber) and CAMB (without Limber's approximation).

    pip install camb pyccl scipy; python scripts/angular_reference.py tests/data
"""
import sys

import camb
import numpy as np
import pyccl as ccl
from scipy.special import erf

OUT = sys.argv[1] if len(sys.argv) > 1 else "tests/data"
Om, Ob, h, ns, s8 = 0.3089, 0.0486, 0.6774, 0.9667, 0.8159

# LSST Y10 sources: bins of equal numbers of photometric redshifts.
z = (np.arange(4000) + 0.5) * 3.5 / 4000
n = z**2 * np.exp(-((z / 0.11) ** 0.68))
n /= n.sum()
below = lambda edge: 0.5 * (1 + erf((edge - z) / (np.sqrt(2) * 0.05 * (1 + z))))
grid = np.linspace(-0.5, 5, 20000)
number = np.array([(n * below(e)).sum() for e in grid])
edges = [-np.inf] + [np.interp(i / 5, number, grid) for i in range(1, 5)] + [np.inf]
sources = [n * (below(b) - below(a)) for a, b in zip(edges[:-1], edges[1:])]
gauss = lambda mean, sigma: np.where(abs(z - mean) < 5 * sigma, np.exp(-0.5 * ((z - mean) / sigma) ** 2), 0)

cosmo = ccl.Cosmology(Omega_c=Om - Ob, Omega_b=Ob, h=h, n_s=ns, sigma8=s8, Neff=3.046, T_CMB=2.7255,
                      transfer_function="eisenstein_hu", matter_power_spectrum="halofit")
ell = np.array([2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 3000])
ia = 1.2 * ((1 + z) / 1.62) ** 0.5
tracers, scale = [], []
# CCL's is the shear: convergence has l(l+1) in place of sqrt((l+2)!/(l-2)!).
spin = ell * (ell + 1.0) / np.sqrt((ell + 2.0) * (ell + 1.0) * ell * (ell - 1.0))
for i in (0, 4):
    tracers.append(ccl.WeakLensingTracer(cosmo, dndz=(z, sources[i]), ia_bias=(z, ia)))
    scale.append(spin)
for mean, sigma, b, s in ((0.5, 0.05, 1.5, 0.7), (0.8, 0.1, 2.0, 0.3)):
    tracers.append(ccl.NumberCountsTracer(cosmo, has_rsd=False, dndz=(z, gauss(mean, sigma)),
                                          bias=(z, b + 0 * z), mag_bias=(z, s + 0 * z)))
    scale.append(np.ones(len(ell)))
names = ["kappa0", "kappa4", "counts0", "counts1"]
rows, head = [ell], ["ell"]
for i in range(4):
    for j in range(i, 4):
        c = ccl.angular_cl(cosmo, tracers[i], tracers[j], ell, l_limber=-1)
        rows.append(c * scale[i] * scale[j])
        head.append(f"{names[i]}*{names[j]}")
np.savetxt(f"{OUT}/ccl_angular.txt", np.transpose(rows), fmt=["%d"] + ["%.6e"] * 10, header=" ".join(head))

p = camb.set_params(H0=100 * h, ombh2=Ob * h * h, omch2=(Om - Ob) * h * h, mnu=0, num_massive_neutrinos=0, nnu=3.046,
                    TCMB=2.7255, As=2.067184e-9, ns=ns, lmax=200)
p.Want_CMB = False
p.NonLinear = camb.model.NonLinear_none
p.SourceWindows = [camb.sources.GaussianSourceWindow(redshift=mean, source_type="counts", bias=1.0, sigma=0.03)
                   for mean in (0.5, 0.6, 1.0)]
for term in ("counts_redshift", "counts_lensing", "counts_velocity", "counts_radial", "counts_timedelay", "counts_ISW",
             "counts_potential", "counts_evolve"):
    setattr(p.SourceTerms, term, False)
p.SourceTerms.limber_windows = False
p.set_accuracy(lSampleBoost=10)
cls = camb.get_results(p).get_source_cls_dict(lmax=200, raw_cl=True)
l = np.array([2, 3, 5, 8, 12, 20, 30, 45, 59])
pairs = [(i, j) for i in (1, 2, 3) for j in range(i, 4)]
np.savetxt(f"{OUT}/camb_angular.txt", np.transpose([l] + [cls[f"W{i}xW{j}"][l] for i, j in pairs]),
           fmt=["%d"] + ["%.6e"] * 6, header="ell " + " ".join(f"counts{i-1}*counts{j-1}" for i, j in pairs))
