//! Maps of the sphere as FITS files that healpy reads: a binary table with a column for each map (FITS standard 4.0,
//! section 7.3; the keywords of HEALPix are those of its Fortran and Python packages).

use crate::error::{At, Result};
use crate::io::field::{AxisKind, Dtype, FieldSpec, HealpixOrder};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Bytes of a block: headers and data are filled up to whole ones.
const BLOCK: usize = 2880;

/// True of fields that such files hold.
pub fn holds(spec: &FieldSpec) -> bool {
    !spec.ragged && spec.axes.last().is_some_and(|axis| axis.kind.is_sphere())
}

/// The files of a field, one for each universe: `NNNNNN.fits`, by its row in the design.
pub struct Maps {
    folder: PathBuf,
    spec: FieldSpec,
    universes: std::vec::IntoIter<usize>,
}

impl Maps {
    pub fn new(folder: PathBuf, spec: &FieldSpec, universes: Vec<usize>) -> Maps {
        Maps { folder, spec: spec.clone(), universes: universes.into_iter() }
    }

    /// Writes the files of the next universes, whose numbers these bytes are.
    pub fn append(&mut self, more: &[u8]) -> Result<()> {
        for numbers in more.chunks_exact(self.spec.bytes() as usize) {
            let row = self.universes.next().expect("as many universes as were announced");
            let path = self.folder.join(format!("{row:06}.fits"));
            let mut file = BufWriter::new(File::create(&path).at(&path)?);
            self.write(&mut file, numbers, row).and_then(|()| file.flush()).at(&path)?;
        }
        Ok(())
    }

    fn write(&self, file: &mut impl Write, numbers: &[u8], universe: usize) -> std::io::Result<()> {
        let (spec, axis) = (&self.spec, &self.spec.axes[self.spec.axes.len() - 1]);
        let (AxisKind::Healpix { nside, order } | AxisKind::Footprint { nside, order }) = axis.kind else {
            return Ok(());
        };
        let (form, width) = match spec.dtype {
            Dtype::F32 => ("1E", 4),
            Dtype::F64 => ("1D", 8),
            Dtype::I64 => ("1K", 8),
        };
        let pixels = spec.shape[spec.shape.len() - 1];
        let names = columns(spec);
        let part: Vec<u64> = axis.pixels.iter().flat_map(|&[first, end]| first..end).collect();
        let listed = !part.is_empty();
        let row = width * names.len() + if listed { 8 } else { 0 };

        header(file, &[logical("SIMPLE", true), number("BITPIX", 8), number("NAXIS", 0), logical("EXTEND", true)])?;
        let mut cards = vec![
            text("XTENSION", "BINTABLE"),
            number("BITPIX", 8),
            number("NAXIS", 2),
            number("NAXIS1", row as u64),
            number("NAXIS2", pixels as u64),
            number("PCOUNT", 0),
            number("GCOUNT", 1),
            number("TFIELDS", (names.len() + usize::from(listed)) as u64),
        ];
        let first = listed.then(|| ("PIXEL".to_string(), "1K", ""));
        let maps = names.into_iter().map(|name| (name, form, spec.unit.as_str()));
        for (i, (name, form, unit)) in first.into_iter().chain(maps).enumerate() {
            cards.push(text(&format!("TTYPE{}", i + 1), &name));
            cards.push(text(&format!("TFORM{}", i + 1), form));
            if !unit.is_empty() && unit.is_ascii() {
                cards.push(text(&format!("TUNIT{}", i + 1), unit));
            }
        }
        let all = 12 * u64::from(nside) * u64::from(nside);
        cards.push(text("EXTNAME", &spec.name));
        cards.push(text("PIXTYPE", "HEALPIX"));
        cards.push(text("ORDERING", if order == HealpixOrder::Ring { "RING" } else { "NESTED" }));
        cards.push(number("NSIDE", nside.into()));
        cards.push(number("FIRSTPIX", part.first().copied().unwrap_or(0)));
        cards.push(number("LASTPIX", part.last().copied().unwrap_or(all - 1)));
        cards.push(text("INDXSCHM", if listed { "EXPLICIT" } else { "IMPLICIT" }));
        cards.push(text("OBJECT", if listed { "PARTIAL" } else { "FULLSKY" }));
        cards.push(number("UNIVERSE", universe as u64));
        header(file, &cards)?;

        let mut line = Vec::with_capacity(row);
        for pixel in 0..pixels {
            line.clear();
            line.extend(part.get(pixel).iter().flat_map(|p| p.to_be_bytes()));
            for map in numbers.chunks_exact(pixels * width) {
                let bytes = &map[pixel * width..(pixel + 1) * width];
                // Of this machine's order to that of FITS.
                match cfg!(target_endian = "little") {
                    true => line.extend(bytes.iter().rev()),
                    false => line.extend(bytes),
                }
            }
            file.write_all(&line)?;
        }
        fill(file, row * pixels, 0)
    }
}

/// A name for each map: the labels of its axes, or their names and numbers.
fn columns(spec: &FieldSpec) -> Vec<String> {
    let mut names = vec![String::new()];
    for (axis, &n) in spec.axes.iter().zip(&spec.shape[..spec.shape.len() - 1]) {
        let point = |i: usize| match (axis.labels.get(i), axis.values.get(i)) {
            (Some(label), _) if label.is_ascii() => label.clone(),
            (None, Some(value)) => format!("{} {value}", axis.name),
            _ => format!("{} {i}", axis.name),
        };
        let join = |name: &String, i| if name.is_empty() { point(i) } else { format!("{name}, {}", point(i)) };
        names = names.iter().flat_map(|name| (0..n).map(move |i| join(name, i))).collect();
    }
    match &names[..] {
        [only] if only.is_empty() => vec![spec.name.clone()],
        _ => names,
    }
}

fn text(key: &str, value: &str) -> String {
    // What a card has room for.
    let value: String = value.replace('\'', "''").chars().take(66).collect();
    format!("{key:<8}= '{value:<8}'")
}

fn number(key: &str, value: u64) -> String {
    format!("{key:<8}= {value:>20}")
}

fn logical(key: &str, value: bool) -> String {
    format!("{key:<8}= {:>20}", if value { 'T' } else { 'F' })
}

fn header(file: &mut impl Write, cards: &[String]) -> std::io::Result<()> {
    cards.iter().try_for_each(|card| write!(file, "{card:<80}"))?;
    write!(file, "{:<80}", "END")?;
    fill(file, 80 * (cards.len() + 1), b' ')
}

fn fill(file: &mut impl Write, written: usize, with: u8) -> std::io::Result<()> {
    file.write_all(&vec![with; written.next_multiple_of(BLOCK) - written])
}
