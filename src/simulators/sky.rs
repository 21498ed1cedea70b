//! Square maps of a flat sky as fields, and what is counted on them: angular power spectra and peaks.

use crate::error::Result;
use crate::fields::flat_sky::{AngularConfig, FlatSky, Map};
use crate::fields::peaks::PeakConfig;
use crate::io::field::{Axis, AxisKind, Data, Dtype, FieldSpec};

/// Maps of one geometry, one for each bin.
pub(super) struct Sky<'a> {
    /// What the maps show, in a word.
    pub what: &'static str,
    /// The bins.
    pub bins: Axis,
    /// Pixels per side.
    pub pixels: usize,
    /// Side in degrees.
    pub side: f64,
    /// What rows and columns are: `Flat`, `Periodic`.
    pub kind: AxisKind,
    pub c_ell: Option<&'a AngularConfig>,
    pub peaks: Option<&'a PeakConfig>,
}

impl Sky<'_> {
    /// Axes of the maps, with the angles of the pixels' centres from the map's own.
    pub fn axes(&self) -> [Axis; 3] {
        let (n, side) = (self.pixels, self.side);
        let angle = |i: usize| (i as f64 + 0.5 - 0.5 * n as f64) * side / n as f64;
        let along = |name: &str| Axis::at(self.kind, name, "deg", (0..n).map(angle).collect());
        [self.bins.clone(), along("row"), along("column")]
    }

    /// Pairs of bins a ≤ b.
    pub fn pairs(&self) -> Vec<[usize; 2]> {
        let bins = self.bins.labels.len();
        (0..bins).flat_map(|a| (a..bins).map(move |b| [a, b])).collect()
    }

    /// Descriptions of what is counted.
    pub fn specs(&self) -> Vec<FieldSpec> {
        let (n, side) = (self.pixels, self.side);
        let spec = |name: &str, axes: [Axis; 2], shape: [usize; 2], unit: &str, description: String, dtype: Dtype| {
            let (axes, unit) = (axes.to_vec(), unit.into());
            FieldSpec { axes, unit, description, dtype, ..FieldSpec::of(name, &shape, &[]) }
        };
        let mut specs = vec![];
        if let Some(c) = self.c_ell {
            // Bins that cannot be made were refused by `check`.
            let ell = c.ell_bins(n, side).map_or(Axis::new(AxisKind::Bin, "ell", ""), |bins| {
                let (mean, modes) = AngularConfig::modes_of(&bins, n, side);
                Axis { modes, ..Axis::bins("ell", "", mean, bins.edges().to_vec()) }
            });
            let pairs = self.pairs();
            let names = Axis::named(AxisKind::Channel, "pair", pairs.iter().map(|[a, b]| format!("{a} {b}")));
            let what = format!("angular power spectra of the {}, noise and mask included", self.what);
            specs.push(spec("c_ell", [names, ell], [pairs.len(), c.bins], "sr", what, Dtype::F64));
        }
        if let Some(c) = self.peaks {
            let height = c.height_bins().map_or(Axis::new(AxisKind::Bin, "height", ""), |bins| {
                Axis::bins("height", "", bins.middles(), bins.edges().to_vec())
            });
            let what = format!("peaks of the {} smoothed over {}°", self.what, c.smoothing);
            let shape = [self.bins.labels.len(), c.bins];
            specs.push(spec("peaks", [self.bins.clone(), height], shape, "", what, Dtype::I64));
        }
        specs
    }

    /// The numbers of what [`Self::specs`] describes, on these maps (bins, pixels, pixels).
    pub fn measure(&self, maps: &[f64], mask: Option<&[f64]>) -> Result<Vec<Data>> {
        let mut sky = FlatSky::new(self.pixels, self.side)?;
        let spectra = self.spectra(&mut sky, maps, mask)?;
        Ok(spectra.into_iter().chain(self.peaks(&mut sky, maps, mask)?).collect())
    }

    /// Spectra of these maps, or of the rows that `sky` has of them, where they are asked for.
    pub fn spectra(&self, sky: &mut FlatSky, maps: &[f64], mask: Option<&[f64]>) -> Result<Option<Data>> {
        let Some(c) = self.c_ell else { return Ok(None) };
        let bins = c.ell_bins(self.pixels, self.side)?;
        let size = maps.len() / self.bins.labels.len();
        let of = |b: usize| Map { values: &maps[b * size..(b + 1) * size], mask };
        let maps: Vec<Map> = (0..self.bins.labels.len()).map(of).collect();
        let spectra = sky.spectra(&bins, &maps, &self.pairs(), c.pixel_window)?;
        Ok(Some(Data::F64(spectra.into_iter().flat_map(|spectrum| spectrum.c_ell).collect())))
    }

    /// Peaks of some whole maps, where they are asked for.
    pub fn peaks(&self, sky: &mut FlatSky, maps: &[f64], mask: Option<&[f64]>) -> Result<Option<Data>> {
        let Some(c) = self.peaks else { return Ok(None) };
        let mut counts = vec![];
        for values in maps.chunks_exact(self.pixels * self.pixels) {
            counts.extend(c.count(sky, Map { values, mask }, None)?.into_iter().map(|n| n as i64));
        }
        Ok(Some(Data::I64(counts)))
    }
}
