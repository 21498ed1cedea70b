//! Datasets that polycosm wrote before axes said what they are: their fields are known by name.

use crate::io::field::{AxisKind, FieldSpec};

/// Puts in what the axes are that do not say so; true if there were such of fields that are known.
pub(super) fn complete(specs: &mut [FieldSpec]) -> bool {
    let mut found = false;
    for spec in specs {
        // Where several moments were looked at, names end in their redshifts.
        let name = spec.name.split("_z").next().unwrap_or("").to_string();
        for axis in spec.axes.iter_mut().filter(|axis| axis.kind.is_unsaid()) {
            axis.kind = kind(&name, &axis.name);
            found |= !axis.kind.is_unsaid();
            if (name.as_str(), axis.name.as_str()) == ("shear", "component") {
                axis.spins = vec![2, 2, 0];
            }
        }
    }
    found
}

fn kind(field: &str, axis: &str) -> AxisKind {
    match (field, axis) {
        ("maps", "view") | ("kappa" | "shear" | "c_ell" | "peaks", "light_cone") => AxisKind::View,
        ("maps", "slab") => AxisKind::Slab,
        ("maps", "row" | "column") | ("density", "x" | "y" | "z") => AxisKind::Periodic,
        ("kappa" | "shear" | "lens_planes", "row" | "column") => AxisKind::Flat,
        ("kappa" | "shear" | "peaks", "source") | ("shear", "component") => AxisKind::Channel,
        ("c_ell", "pair") | ("multipoles", "ell") | ("galaxy_power", "spectrum") => AxisKind::Channel,
        ("power" | "multipoles" | "galaxy_power", "k") | ("c_ell", "ell") | ("peaks", "height") => AxisKind::Bin,
        ("pdf", "density") | ("mass_function", "log10_mass") => AxisKind::Bin,
        ("bispectrum" | "bispectrum_triangles", "triangle") => AxisKind::Bin,
        ("pdf_moments", "moment") | ("bispectrum", "value") | ("halos" | "galaxies", "column") => AxisKind::Column,
        ("position" | "velocity", "component") => AxisKind::Column,
        ("halos", "halos") | ("galaxies", "galaxies") | ("position" | "velocity", "particle") => AxisKind::Index,
        ("lens_planes", "plane") => AxisKind::Index,
        _ => AxisKind::Unsaid,
    }
}
