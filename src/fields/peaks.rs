//! Peaks of maps: counts of local maxima by height (Jain & Van Waerbeke 2000; Dietrich & Hartlap 2010).

use super::bins::{Bins, Spacing};
use super::flat_sky::{FlatSky, Map};
use crate::error::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a peak's height is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PeakHeight {
    /// The map's own unit.
    Value,
    /// The rms of the noise in the smoothed map where it is known, else of the smoothed map itself.
    #[default]
    Snr,
}

/// `[simulator.peaks]`: counts of peaks of smoothed maps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PeakConfig {
    /// θ of the Gaussian smoothing exp(−ℓ²θ²/2); 0: none.
    #[schemars(extend("x-unit" = "degrees", "x-default" = "1/60"))]
    pub smoothing: f64,
    /// `"snr"`: over the rms of the smoothed map. `"value"`: κ itself.
    pub height: PeakHeight,
    /// Lower edge of the first bin.
    #[schemars(extend("x-unit" = "as `height`"))]
    pub min: f64,
    /// Upper edge of the last bin.
    #[schemars(extend("x-unit" = "as `height`"))]
    pub max: f64,
    /// Number of bins.
    pub bins: usize,
    /// Of the edges.
    pub spacing: Spacing,
    /// For maps that go on at the other side: counts up to the edges. Else the outermost pixel, and all within 3θ of an
    /// edge, which the smoothing spoils, are no peaks.
    pub periodic: bool,
}

impl Default for PeakConfig {
    fn default() -> Self {
        PeakConfig {
            smoothing: 1.0 / 60.0,
            height: PeakHeight::Snr,
            min: -2.0,
            max: 6.0,
            bins: 16,
            spacing: Spacing::Linear,
            periodic: false,
        }
    }
}

impl PeakConfig {
    /// The bins of height; refuses impossible ones, and an impossible smoothing.
    pub fn height_bins(&self) -> Result<Bins> {
        if !(self.smoothing >= 0.0 && self.smoothing.is_finite()) {
            return Err(Error::input("the smoothing is an angle in degrees, 0 or more")
                .key("simulator.peaks.smoothing")
                .value(self.smoothing)
                .remedy("1/60 = 0.0167 is an arcminute"));
        }
        Bins::new("simulator.peaks", self.spacing, self.min, self.max, self.bins)
    }

    /// Counts of peaks in the bins of [`Self::height_bins`]. `noise` is the rms of the noise in the *smoothed* map, if
    /// it is known.
    pub fn count(&self, sky: &mut FlatSky, map: Map, noise: Option<f64>) -> Result<Vec<u64>> {
        let bins = self.height_bins()?;
        sky.fits(map.values)?;
        map.mask.map_or(Ok(()), |mask| sky.fits(mask))?;
        let theta = self.smoothing.to_radians();
        let smooth = if theta > 0.0 { sky.smoothed(map, self.smoothing)? } else { map.values.to_vec() };
        let border = if self.periodic { 0 } else { 1.max((3.0 * theta / sky.pixel()).ceil() as usize) };
        let unit = match self.height {
            PeakHeight::Value => 1.0,
            PeakHeight::Snr => noise.unwrap_or_else(|| rms(Map { values: &smooth, mask: map.mask })),
        };
        let peaks = local_maxima(&smooth, sky.pixels(), map.mask, border);
        Ok(bins.histogram(peaks.into_iter().map(|i| smooth[i] / unit)))
    }
}

/// Pixels above all of their 8 neighbours, in order. A pixel of mask 0 is no peak and is not compared with. A `border`
/// of 0 joins opposite sides; one of b keeps the outermost b pixels from being peaks.
pub fn local_maxima(map: &[f64], pixels: usize, mask: Option<&[f64]>, border: usize) -> Vec<usize> {
    let seen = |i: usize| mask.is_none_or(|mask| mask[i] > 0.0);
    let around = |i: usize| [i + pixels - 1, i, i + 1].map(|i| i % pixels);
    let is_peak = |row: usize, column: usize| {
        let here = row * pixels + column;
        let mut neighbours = around(row).into_iter().flat_map(|r| around(column).map(|c| r * pixels + c));
        seen(here) && neighbours.all(|i| i == here || !seen(i) || map[here] > map[i])
    };
    let inner = || border..pixels.saturating_sub(border);
    let all = inner().flat_map(|row| inner().map(move |column| (row, column)));
    all.filter(|&(row, column)| is_peak(row, column)).map(|(row, column)| row * pixels + column).collect()
}

/// Standard deviation of what is not masked.
fn rms(map: Map) -> f64 {
    let seen = || (0..map.values.len()).filter(|&i| map.mask.is_none_or(|m| m[i] > 0.0)).map(|i| map.values[i]);
    let count = seen().count().max(1) as f64;
    let mean = seen().sum::<f64>() / count;
    (seen().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt()
}
