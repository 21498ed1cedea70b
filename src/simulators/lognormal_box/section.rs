//! What the house may ask of `kind = "lognormal-box"`.

use super::run::BoxRunner;
use super::{LognormalBoxConfig, bench};
use crate::comm::share;
use crate::cosmology::{Cosmology, Growth, MatterPower, Transfer};
use crate::error::Cause;
use crate::fields::lognormal_box::{MeshPower, possible};
use crate::mesh::compact_grid;
use crate::observables::PoissonConfig;
use crate::simulators::Precision;
use crate::simulators::bench::Bench;
use crate::simulators::budget::Memory;
use crate::simulators::prelude::*;
use std::path::PathBuf;

/// Points per side up to which `check` looks for lognormal fields: beyond it would take its time.
const LOOKED_AT: usize = 256;

impl Section for LognormalBoxConfig {
    fn summary(&self) -> String {
        let (n, l, z) = (self.points, self.box_size, self.redshift);
        let galaxies = self
            .poisson
            .as_ref()
            .map_or(String::new(), |g| format!(", {:.3e} galaxies", g.number_density * self.box_size.powi(3)));
        format!("lognormal matter on {n}³ points in {l} Mpc/h at z = {z}{galaxies}")
    }

    fn check(&self, of: &Universes) -> Result<()> {
        self.check_keys()?;
        self.mask()?;
        // Other universes of the prior are asked for by their corners; tables are there for the first.
        let middle = of.prior.middle();
        let (config, cosmology) = (of.cosmology()?, of.resolve(of.prior.theta(&middle))?);
        if config.transfer == Transfer::Table {
            let k = std::f64::consts::PI / self.box_size;
            config.linear_power(&cosmology, 0)?.check_covers(2.0 * k, 3f64.sqrt() * k * self.points as f64)?;
        }
        if self.points <= LOOKED_AT {
            let growth = Growth::new(&cosmology);
            let linear = config.linear_power(&cosmology, 0)?;
            let power = MatterPower::new(&growth, &linear, self.nonlinear, self.redshift)?.at(self.a());
            let low = MeshPower::new(self.points, self.box_size, |k| power.p(k)).lowest(self.points);
            let as_input = |e: Error| Error { kind: Cause::Input, ..e };
            possible(low).map_err(|e| as_input(e).key("simulator.points").value(self.points))?;
            let varied = of.prior.theta(&middle).get(PoissonConfig::BIAS);
            if let Some(galaxies) = &self.poisson {
                let (key, bias) = match varied {
                    Some(bias) => ("design.parameters.bias", bias),
                    None => ("simulator.poisson.bias", galaxies.bias),
                };
                possible(bias * bias * low).map_err(|e| as_input(e).key(key).value(bias))?;
            }
        }
        self.check_cosmology(&cosmology)
    }

    fn warnings(&self, of: &Universes) -> Vec<String> {
        let mut all = vec![];
        let cell = self.box_size / self.points as f64;
        if self.nonlinear != crate::cosmology::NonLinear::Linear && self.poisson.is_some() {
            all.extend((cell < 1.0).then(|| {
                format!(
                    "simulator.points: cells of {cell:.2} Mpc/h are smaller than halos; a lognormal field has no more of \
                     their shape than P(k), and its velocities, linear in δ, are too fast"
                )
            }));
        }
        let varies = of.prior.names().contains(&PoissonConfig::BIAS);
        all.extend(
            (varies && self.poisson.as_ref().is_some_and(|g| g.bias != 1.0))
                .then(|| "simulator.poisson.bias: is varied by the design, which takes its place".to_string()),
        );
        all
    }

    fn needs_cosmology(&self) -> bool {
        true
    }

    fn check_cosmology(&self, cosmology: &Cosmology) -> Result<()> {
        self.sky_cone(cosmology, None).map(drop)
    }

    fn parameters(&self) -> Vec<String> {
        self.poisson.iter().map(|_| PoissonConfig::BIAS.to_string()).collect()
    }

    fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        varied.iter().filter(|(name, _)| *name == PoissonConfig::BIAS).try_for_each(|(name, bias)| {
            PoissonConfig::check_bias(*bias).map_err(|e| e.key(format!("design.parameters.{name}")))
        })
    }

    fn would_vary(&self, name: &str) -> Option<String> {
        (name == PoissonConfig::BIAS).then(|| "add a section [simulator.poisson]: galaxies alone depend on it".into())
    }

    fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        let Some(cone) = &mut self.cone else { return vec![] };
        let mask = cone.mask.iter_mut().map(|mask| ("/cone/mask".to_string(), mask));
        let table = cone.n_of_z.iter_mut().filter_map(|n| n.file_mut());
        mask.chain(table.map(|path| ("/cone/n_of_z/table/path".to_string(), path))).collect()
    }

    fn memory(&self, of: &Universes) -> Result<Option<Memory>> {
        let real = match self.precision {
            Precision::F32 => 4,
            Precision::F64 => 8,
        };
        let (n, grid) = (self.points as u64, compact_grid(of.ranks.max(1)));
        let part = |axis: usize| share(self.points, grid[axis], 0).1 as u64;
        // Complex numbers on the largest of the transform's layouts, and as much for a mesh, whose buffer they pass through.
        let half = n / 2 + 1;
        let layouts = [
            part(0) * part(1) * half,
            part(0) * n * half.div_ceil(grid[1] as u64),
            n * n.div_ceil(grid[0] as u64) * half.div_ceil(grid[1] as u64),
        ];
        let mesh = 2 * real * layouts.into_iter().max().unwrap_or(0);
        let points = part(0) * part(1) * n;
        // While spectra are solved: ξ, a mesh, modes and the powers that are tried; then amplitudes, modes and a mesh, and what
        // is measured beside them.
        let fields = 1 + self.poisson.is_some() as u64;
        let observed = if self.power.is_some() || self.multipoles.is_some() { 4 * mesh } else { 0 };
        let kept = if self.density { 3 * 4 * points } else { 0 };
        let galaxies = self.poisson.as_ref().map_or(0.0, |g| {
            let each = 16 + 6 * real + if g.catalogue { 120 } else { 0 } + if self.cone.is_some() { 96 } else { 0 };
            1.2 * g.number_density * self.box_size.powi(3) / (grid[0] * grid[1]) as f64 * each as f64
        });
        let bytes = 5 * mesh + fields * mesh / 2 + observed + kept + galaxies as u64;
        let many = galaxies as u64 > bytes / 2;
        Ok(Some(Memory {
            expected: bytes,
            largest: bytes,
            cases: ["always".into(), "always".into()],
            safer: "take more ranks",
            key: if many { ("simulator.poisson", self.points) } else { ("simulator.points", self.points) },
            remedy: "share each box between more ranks on more nodes (suite.ranks_per_sim), or lower points or number_density",
        }))
    }

    fn theory(&self, of: &Universes, field: &FieldSpec, theta: Theta, index: u64) -> Result<Option<Theory>> {
        self.theory_of(of, field, theta, index)
    }

    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        let cosmology = of.cosmology()?;
        Ok(match self.precision {
            Precision::F32 => Box::new(BoxRunner::<f32>::new(self, cosmology)?),
            Precision::F64 => Box::new(BoxRunner::<f64>::new(self, cosmology)?),
        })
    }

    fn bench() -> Option<Bench> {
        Some(bench::BENCH)
    }
}
