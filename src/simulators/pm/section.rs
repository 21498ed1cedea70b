//! What the house may ask of `kind = "pm"`.

use super::config::{PmConfig, Precision};
use super::cost::{self, Cost, displacement};
use super::memory::memory_per_rank;
use super::products::{Lensing, SphereProduct};
use super::rehearsal::rehearse;
use super::{Pm, bench, scales};
use crate::comm::Comm;
use crate::cosmology::{Cosmology, Growth};
use crate::error::{Error, Result};
use crate::gravity::{Factors, StepTable};
use crate::io::field::FieldSpec;
use crate::io::gadget;
use crate::mesh::compact_grid;
use crate::observables::HodConfig;
use crate::observables::lensing::{LightConeConfig, Region};
use crate::prior::Theta;
use crate::simulators::bench::Bench;
use crate::simulators::budget::{Budget, Kept, Machine, Memory};
use crate::simulators::{Runner, Section, Theory, Universes};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the numerics: raised when the same resolved section gives other numbers in any of its fields, for
/// universes of two versions do not belong in one suite. A new default is no such change (the section tells of it), and
/// neither is another order of rounding on other ranks. Where one product alone changes, `numerics` below gives it a
/// name and a version of its own, which campaigns with that product alone have: the others go on.
const NUMERICS: u32 = 1;

impl Section for PmConfig {
    fn summary(&self) -> String {
        format!("{}³ particles in {} Mpc/h", self.particles, self.box_size)
    }

    fn check(&self, of: &Universes) -> Result<()> {
        self.check()?;
        self.initial.check_file(self.particles)?;
        self.lightcone.iter().try_for_each(LightConeConfig::check_files)?;
        Lensing::of(self).map_or(Ok(()), |lensing| lensing.check_files())?;
        match self.process_grid.filter(|g| g[0].checked_mul(g[1]) != Some(of.ranks)) {
            None => Ok(()),
            Some(grid) => Err(Error::input(format!("is no grid of {} rank(s)", of.ranks))
                .key("simulator.process_grid")
                .value(grid)
                .remedy("make its product equal to suite.ranks_per_sim, or leave it out")),
        }
    }

    fn warnings(&self, of: &Universes) -> Vec<String> {
        let mut all = of.cosmology.map_or(vec![], |cosmology| self.warnings(cosmology, of.prior));
        let middle = of.prior.middle();
        let cone = SphereProduct::of(self).and_then(|s| s.cone(&of.resolve(of.prior.theta(&middle)).ok()?).ok());
        if let Some(repeats) = cone.map(|(cone, _)| cone.repeats()).filter(|repeats| *repeats > 1.0) {
            all.push(format!(
                "simulator.lightcone.nside: the farthest box length of the sky shows every structure {repeats:.0} times, in \
                 different directions: multipoles that are wider than the box hold no power, and errors are those of one \
                 box, not of as many"
            ));
        }
        all
    }

    fn needs_cosmology(&self) -> bool {
        true
    }

    fn check_cosmology(&self, cosmology: &Cosmology) -> Result<()> {
        Lensing::of(self).map_or(Ok(()), |lensing| lensing.check(cosmology))
    }

    fn parameters(&self) -> Vec<String> {
        self.galaxies.iter().flat_map(|_| HodConfig::NAMES.map(String::from)).collect()
    }

    fn check_varied(&self, varied: &[(&str, f64)]) -> Result<()> {
        let section = |name: &str| match varied.iter().any(|v| v.0 == name) {
            true => "design.parameters",
            false => "simulator.galaxies",
        };
        self.galaxies.iter().try_for_each(|hod| hod.with(varied).check_in(section))
    }

    fn would_vary(&self, name: &str) -> Option<String> {
        let galaxies = HodConfig::NAMES.contains(&name);
        galaxies.then(|| "add a section [simulator.galaxies]: galaxies alone depend on it".into())
    }

    fn files_mut(&mut self) -> Vec<(String, &mut PathBuf)> {
        let field = self.initial.field.iter_mut().map(|f| ("/initial/field/file".to_string(), &mut f.file));
        let mut files: Vec<_> = field.collect();
        if let Some(cone) = &mut self.lightcone {
            if let Region::Mask(path) = &mut cone.footprint {
                files.push(("/lightcone/footprint/mask".to_string(), path));
            }
            files.extend(cone.mask.iter_mut().map(|mask| ("/lightcone/mask".to_string(), mask)));
            files.extend(
                cone.n_of_z
                    .iter_mut()
                    .enumerate()
                    .filter_map(|(i, n)| n.file_mut().map(|path| (format!("/lightcone/n_of_z/{i}/table/path"), path))),
            );
        }
        files
    }

    fn observes(&self, path: &Path) -> bool {
        gadget::is_snapshot(path)
    }

    fn observed_files(&self, path: &Path) -> Result<Vec<PathBuf>> {
        gadget::files(&gadget::first(path))
    }

    fn shape(&self) -> serde_json::Value {
        let mut shape = serde_json::to_value(self.shaping()).unwrap_or_default();
        // Lens planes reach as far as there are sources, however these are spread.
        if let Some(z_max) = self.lightcone.as_ref().and_then(|cone| cone.z_max().ok()) {
            shape["lightcone (farthest source)"] = z_max.into();
        }
        shape
    }

    fn seen(&self) -> Vec<&'static str> {
        vec![
            "maps",
            "density",
            "pdf",
            "power",
            "multipoles",
            "bispectrum",
            "halos",
            "mass_function",
            "galaxies",
            "lightcone.source_redshifts",
            "lightcone.n_of_z",
            "lightcone.method",
            "lightcone.shape_noise",
            "lightcone.mask",
            "lightcone.mask_fill",
            "lightcone.keep_planes",
            "c_ell",
            "peaks",
            "keep_particles",
            "snapshots",
        ]
    }

    fn numerics(&self) -> BTreeMap<&'static str, u32> {
        // c_ell: edges between the multipoles. bispectrum: triangles counted beside it. pdf: a mean without rounding.
        let products = [
            ("c_ell", self.c_ell.is_some(), 2),
            ("bispectrum", self.bispectrum.is_some(), 2),
            ("pdf", self.pdf.is_some(), 2),
        ];
        let products = products.into_iter().filter(|p| p.1).map(|(name, _, version)| (name, version));
        products.chain([("pm", NUMERICS)]).collect()
    }

    fn keeps(&self) -> Vec<Kept> {
        let each = gadget::bytes((self.particles as u64).pow(3), self.precision == Precision::F64);
        let bytes = (self.moments().len() as u64).saturating_mul(each);
        let what = format!("GADGET-4 files of {}³ particles", self.particles);
        if self.snapshots { vec![Kept { name: "snapshots", bytes, what }] } else { vec![] }
    }

    fn memory(&self, of: &Universes) -> Result<Option<Memory>> {
        let cosmology = of.resolve(of.prior.theta(&of.prior.middle()))?;
        memory_per_rank(self, &cosmology, of.ranks).map(Some)
    }

    fn budget(&self, of: &Universes, machine: &Machine, comm: &Comm) -> Result<Budget> {
        let middle = of.prior.middle();
        let (theta, universes) = (of.prior.theta(&middle), of.cosmology()?);
        let (kernels, origin) = match &machine.bench {
            Some(file) => (comm.agree(cost::read(file, self))?, format!("kernels from {}", file.display())),
            None => (cost::measure(self, comm)?, format!("kernels measured now on {} rank(s) at once", comm.size())),
        };
        let looks = rehearse(self, universes, of.prior, theta, comm)?;
        // The table's factors and the light cone's length differ between cosmologies, the table's rows do not.
        let cosmology = of.resolve(theta)?;
        let (n, m) = (self.particles, self.mesh());
        let mut universe = vec![("one universe", format!("{n}³ particles, mesh {m}³, {} Mpc/h", self.box_size))];
        universe.extend(scales::lines(self, &cosmology));
        let grid = self.process_grid.unwrap_or(compact_grid(of.ranks));
        let growth = Growth::new(&cosmology);
        let factors = Factors { cosmology: &cosmology, growth: &growth, integrator: self.time.integrator };
        let table = StepTable::new(&self.time, &factors, &self.moments());
        let (forces, transforms) = (table.forces(), cost::transforms(self));
        let power = universes.linear_power(&cosmology, 0)?;
        let grown = growth.d1(self.last()) - growth.d1(self.time.start());
        let shift = displacement(|k| power.p(k)) * grown / forces.max(1) as f64 / self.box_size;
        let cost = Cost::new(self, of.ranks, &kernels, machine, shift);
        let at: Vec<String> = theta.iter().map(|(name, value)| format!("{name} = {value:.4}")).collect();
        Ok(Budget {
            universe,
            layout: vec![("process grid", format!("{} × {}", grid[0], grid[1]))],
            work: vec![("force evaluations", format!("{forces} per universe, {transforms} transforms of {m}³ each"))],
            cost: Some(cost.of_universe(machine, &origin, forces, &looks)),
            table: format!("step table at the middle of the prior ({}):\n{table}", at.join(", ")),
        })
    }

    /// The linear spectrum at the moment that the power spectrum is of.
    fn theory(&self, of: &Universes, field: &FieldSpec, theta: Theta, index: u64) -> Result<Option<Theory>> {
        let [k] = &field.axes[..] else { return Ok(None) };
        let a = self.moment_of(&field.name);
        if field.name.strip_suffix(&self.suffix(a)) != Some("power") {
            return Ok(None);
        }
        let growth = Growth::new(&of.resolve(theta)?);
        let power = of.cosmology()?.cold_power(&growth, index, a)?;
        Ok(Some(Theory { name: "linear theory".into(), values: power.p_all(&k.values) }))
    }

    fn runner(&self, of: &Universes) -> Result<Box<dyn Runner>> {
        let cosmology = of.cosmology()?;
        Ok(match self.precision {
            Precision::F32 => Box::new(Pm::<f32>::new(self, cosmology, of.prior)?),
            Precision::F64 => Box::new(Pm::<f64>::new(self, cosmology, of.prior)?),
        })
    }

    fn bench() -> Option<Bench> {
        Some(bench::BENCH)
    }
}
