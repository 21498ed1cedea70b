//! `[simulator.initial]`: the linear density field and the particles that start from it.

use crate::error::{Error, Result};
use crate::fields::kernels::Gradient;
use crate::fields::linear::{add_f_nl, coloured, graft};
use crate::fields::noise::white_noise;
use crate::io::noise;
use crate::limits;
use crate::mesh::{Decomposition, Fft, Halo, Mesh, Modes, Real, Transform};
use crate::simulators::Job;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What an array read from a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FieldKind {
    /// Real-space noise of zero mean and unit variance, which the linear spectrum colours.
    WhiteNoise,
    /// The linear density contrast today (D = 1).
    LinearDensity,
}

/// A field in an HDF5 file, (N, N, N) in C order with N the particles per side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldFile {
    /// `white-noise` or `linear-density`.
    pub kind: FieldKind,
    /// The HDF5 file.
    pub file: PathBuf,
    /// The array's name in it.
    pub dataset: String,
}

/// `[simulator.initial]`: initial conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InitialConfig {
    /// Order of the Lagrangian perturbation theory that the particles start from.
    #[schemars(extend("x-type" = "1, 2 or 3"))]
    pub lpt_order: usize,
    /// Derivatives of the perturbation theory. `"spectral"`: exact. `"four-point"`: as FastPM, for universes that stand
    /// beside FastPM's; it leaves the initial P(k) 13% low at half the particles' Nyquist wavenumber and 45% at three
    /// quarters (docs/validation.md).
    pub gradient: Gradient,
    /// Fixes the amplitude of every initial mode to its mean; phases stay random (Angulo & Pontzen 2016).
    pub fixed_amplitudes: bool,
    /// Realisations 2r and 2r + 1 share noise r, the second with all phases turned by π. A pair shares its cosmology too
    /// with `design.realisations = 2` (or any even number); else the two have parameters of their own.
    pub paired: bool,
    /// Local primordial non-Gaussianity, −10000 to 10000: Φ + f_NL (Φ² − ⟨Φ²⟩), Φ positive where matter gathers.
    pub f_nl: f64,
    /// Side of the mesh on which the modes below its Nyquist wavenumber are drawn: runs of N and 2N particles per side
    /// that both say `noise_mesh = 2N` share all modes that both resolve.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "`particles`"))]
    pub noise_mesh: Option<usize>,
    /// Another code's field instead: `{ kind = "white-noise", file = "noise.h5", dataset = "noise" }`, an array (N, N,
    /// N) in C order with N = `particles`; of mean 0 and variance 1, which is checked to a tenth. `kind =
    /// "linear-density"`: the linear density contrast today. Every universe starts from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldFile>,
}

impl Default for InitialConfig {
    fn default() -> Self {
        InitialConfig {
            lpt_order: 2,
            gradient: Gradient::Spectral,
            fixed_amplitudes: false,
            paired: false,
            f_nl: 0.0,
            noise_mesh: None,
            field: None,
        }
    }
}

impl InitialConfig {
    /// Refuses what cannot be run.
    pub fn check(&self) -> Result<()> {
        let bad = |key: &str, problem: &str| Error::input(problem).key(format!("simulator.initial.{key}"));
        if !(1..=3).contains(&self.lpt_order) {
            return Err(bad("lpt_order", "orders 1, 2 and 3 are known").value(self.lpt_order).remedy("2 is usual"));
        }
        // The potential is some 1e-5: beyond, its square is as large as itself.
        if !(-1e4..=1e4).contains(&self.f_nl) {
            let error = bad("f_nl", "lies between -10000 and 10000, where f_NL Φ² is less than Φ").value(self.f_nl);
            return Err(error.remedy("0 is a Gaussian field; 100 is a strong signal"));
        }
        if let Some(n) = self.noise_mesh.filter(|&n| n < 4) {
            let error = bad("noise_mesh", "at least 4 points per side are needed").value(n);
            return Err(error.remedy("give the larger of the two runs' particles per side"));
        }
        limits::at_most("simulator.initial.noise_mesh", self.noise_mesh.unwrap_or(0), limits::SIDE)?;
        let Some(field) = &self.field else { return Ok(()) };
        let beside = |key: &str| {
            let error = bad(key, "has no meaning for a field that is read from a file");
            Err(error.remedy("leave it out, or leave simulator.initial.field out"))
        };
        match field.kind {
            _ if self.noise_mesh.is_some() => beside("noise_mesh"),
            FieldKind::LinearDensity if self.f_nl != 0.0 => beside("f_nl"),
            FieldKind::LinearDensity if self.fixed_amplitudes => beside("fixed_amplitudes"),
            _ => Ok(()),
        }
    }

    /// Serial: refuses a field that is not there, does not have one value per particle, or where it begins is no white
    /// noise.
    pub fn check_file(&self, particles: usize) -> Result<()> {
        let Some(field) = &self.field else { return Ok(()) };
        if !field.file.is_file() {
            let error = Error::input("there is no such file").key("simulator.initial.field.file").value(&field.file);
            return Err(error.remedy("give the path of an HDF5 file, or leave simulator.initial.field out"));
        }
        let n = noise::size(&field.file, &field.dataset)?;
        if n != particles {
            return Err(Error::input(format!("has {n} points per side, the simulation {particles} particles"))
                .file(&field.file)
                .key(&field.dataset)
                .remedy(format!("set simulator.particles = {n}, or give another field")));
        }
        if field.kind == FieldKind::LinearDensity {
            return Ok(());
        }
        // A million numbers tell; what follows is looked at when all of it is read.
        let some = 1 << 20;
        let ranges = [0..(some / (n * n)).clamp(1, n), 0..(some / n).clamp(1, n), 0..n];
        let values = noise::read_slab(&field.file, &field.dataset, &ranges)?;
        noise::check_white(&field.file, &field.dataset, noise::sums(values.into_iter()))
    }

    /// Linear density modes at D = 1 on the particles' lattice, of spectrum `power` ((Mpc/h)³ at k in h/Mpc) and with
    /// the density per primordial potential `alpha`. Collective.
    pub fn linear_density<T: Real>(
        &self,
        lattice: &Decomposition,
        job: &Job,
        box_size: f64,
        power: impl Fn(f64) -> f64,
        alpha: impl Fn(f64) -> f64,
    ) -> Result<Modes<T>> {
        let mut fft = Fft::new(lattice, Halo::default(), Transform::Exact);
        let (realisation, inverted) =
            if self.paired { (job.realisation / 2, job.realisation % 2 == 1) } else { (job.realisation, false) };
        let mut modes = fft.modes();
        let from_file = |field: &FieldFile| -> Result<Mesh<T>> {
            let mesh = lattice.comm.agree(read(lattice, field))?;
            if field.kind == FieldKind::WhiteNoise {
                check_noise(lattice, field, &mesh)?;
            }
            Ok(mesh)
        };
        match &self.field {
            Some(field) => fft.forward(&mut from_file(field)?, &mut modes),
            None => fft.forward(&mut white_noise(lattice, job.seed, realisation), &mut modes),
        }
        if let Some(n) = self.noise_mesh.filter(|&n| n != lattice.shape()[0]) {
            let coarse = lattice.with_shape([n; 3]);
            let mut other = Fft::new(&coarse, Halo::default(), Transform::Exact);
            let mut large = other.modes();
            other.forward(&mut white_noise(&coarse, job.seed, realisation), &mut large);
            graft(lattice, &mut large, &mut modes);
        }
        if self.field.as_ref().is_some_and(|f| f.kind == FieldKind::LinearDensity) {
            let scale = T::of(if inverted { -1.0 } else { 1.0 } / lattice.volume() as f64);
            // A box has the mean density, whatever the file's field has.
            modes.for_each(|k, m| *m = m.scale(if k == [0; 3] { T::zero() } else { scale }));
        } else {
            coloured(&mut modes, box_size, power, self.fixed_amplitudes, inverted);
        }
        if self.f_nl != 0.0 {
            add_f_nl(&mut fft, &mut modes, box_size, self.f_nl, alpha);
        }
        Ok(modes)
    }
}

/// Refuses a mesh that is no white noise. Collective.
fn check_noise<T: Real>(lattice: &Decomposition, field: &FieldFile, mesh: &Mesh<T>) -> Result<()> {
    let len = mesh.block().len;
    let rows = (0..len[0]).flat_map(|i| (0..len[1]).map(move |j| (i, j)));
    let mut sums = noise::sums(rows.flat_map(|(i, j)| mesh.row(i, j)).map(|x| x.f64()));
    lattice.comm.sum(&mut sums);
    noise::check_white(&field.file, &field.dataset, sums)
}

/// This rank's part of a field in a file.
fn read<T: Real>(lattice: &Decomposition, field: &FieldFile) -> Result<Mesh<T>> {
    let mut mesh = Mesh::new(lattice, Halo::default());
    let block = mesh.block();
    if block.volume() == 0 {
        return Ok(mesh);
    }
    let ranges = std::array::from_fn(|d| block.start[d]..block.start[d] + block.len[d]);
    let values = noise::read_slab(&field.file, &field.dataset, &ranges)?;
    for (row, values) in values.chunks_exact(block.len[2]).enumerate() {
        let target = mesh.row_mut(row / block.len[1], row % block.len[1]);
        target.iter_mut().zip(values).for_each(|(x, &v)| *x = T::of(v));
    }
    Ok(mesh)
}
