//! Maps, grids and the one-point function of the matter density.

use super::{Moment, Product, Values, spec};
use crate::error::Result;
use crate::io::field::{Axis, AxisKind, Data, Dtype, FieldSpec};
use crate::mesh::{Decomposition, Mesh, Real};
use crate::observables::{DensityMeter, MapConfig, PdfConfig, projected_maps};
use crate::particles::{Assignment, Domain, Points};
use crate::simulators::pm::config::{DensityConfig, PmConfig};

pub(super) struct Maps(pub MapConfig);

impl<T: Real> Product<T> for Maps {
    fn specs(&self, config: &PmConfig) -> Vec<FieldSpec> {
        let MapConfig { slabs, pixels } = self.0;
        let slab = config.box_size / slabs as f64;
        let centres = (0..slabs).map(|s| (s as f64 + 0.5) * slab).collect();
        let pixel = |name: &str| Axis::new(AxisKind::Periodic, name, "pixel");
        let slices = Axis::at(AxisKind::Slab, "slab", "Mpc/h", centres);
        let axes = vec![Axis::new(AxisKind::View, "view", ""), slices, pixel("row"), pixel("column")];
        let what = format!("surface density over its mean, along each axis, in slabs of {slab} Mpc/h");
        vec![spec("maps", &[3, slabs, pixels, pixels], axes, "", &what, Dtype::F32)]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["maps"]
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let maps = projected_maps(m.comm, &self.0, &m.particles.position, m.config.box_size, m.total());
        Ok(vec![Values::Root(Data::F32(maps))])
    }
}

pub(super) struct Density(pub DensityConfig);

impl<T: Real> Product<T> for Density {
    fn specs(&self, _: &PmConfig) -> Vec<FieldSpec> {
        let n = self.0.points;
        let axes = ["x", "y", "z"].map(|axis| Axis::new(AxisKind::Periodic, axis, "point")).to_vec();
        vec![spec("density", &[n; 3], axes, "", "density over its mean, point i at x = i L/N", Dtype::F32)]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["density"]
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        // Slabs, so that the ranks' rows follow each other in the file.
        let d = Decomposition::new(m.comm, [self.0.points; 3], Some([m.comm.size(), 1]))?;
        let (position, _) = Domain::new(&d, m.config.box_size).send_home(m.comm, m.particles.position.clone(), None);
        let mut mesh = Mesh::<T>::new(&d, self.0.assignment.halo());
        let weight = d.volume() as f64 / m.total() as f64;
        crate::particles::deposit(self.0.assignment, &mut mesh, &d, &position, m.config.box_size, weight, 0.0);
        let data = Data::F32(mesh.to_vec().into_iter().map(|x| x.f64() as f32).collect());
        Ok(vec![Values::Rows(d.real().len[0], data)])
    }
}

pub(super) struct Pdf(pub PdfConfig);

impl<T: Real> Product<T> for Pdf {
    fn specs(&self, _: &PmConfig) -> Vec<FieldSpec> {
        let density = self.0.density_bins().map_or(Axis::new(AxisKind::Bin, "density", ""), |bins| {
            Axis::bins("density", "", bins.middles(), bins.edges().to_vec())
        });
        let pdf = format!("probability density of 1 + δ smoothed over {} Mpc/h", self.0.radius);
        let moments = ["mean", "variance", "skewness", "excess kurtosis"];
        let smoothed = format!("moments of 1 + δ smoothed over {} Mpc/h", self.0.radius);
        vec![
            spec("pdf", &[self.0.bins], vec![density], "", &pdf, Dtype::F64),
            spec(
                "pdf_moments",
                &[4],
                vec![Axis::named(AxisKind::Column, "moment", moments)],
                "",
                &smoothed,
                Dtype::F64,
            ),
        ]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["pdf"]
    }

    fn measure(&self, m: &Moment<T>) -> Result<Vec<Values>> {
        let mut meter = DensityMeter::new(m.mesh, m.config.box_size);
        let one = self.0.measure(&mut meter, Points::equal(&m.particles.position))?;
        let moments = vec![one.mean, one.variance, one.skewness, one.kurtosis];
        Ok(vec![Values::Root(Data::F64(one.pdf)), Values::Root(Data::F64(moments))])
    }
}

impl DensityConfig {
    /// Refuses a grid without points.
    pub fn check(&self) -> Result<()> {
        if (2..=1 << 14).contains(&self.points) {
            return Ok(());
        }
        let error = crate::error::Error::input("a grid has 2 to 16384 points per side").value(self.points);
        Err(error.key("simulator.density.points").remedy("as many as there are particles is usual"))
    }
}

impl Default for DensityConfig {
    fn default() -> Self {
        DensityConfig { points: 64, assignment: Assignment::Cic }
    }
}
