//! What a file holds, however its links run: to nothing, to other files, or round in circles.

use super::{Array, File};
use crate::error::{Error, Result, nearest};
use hdf5::{LinkType, LocationInfo, LocationType};
use hdf5_sys::h5l::{self, H5L_info_t, H5L_type_t};
use hdf5_sys::h5p::H5P_DEFAULT;
use std::collections::HashSet;
use std::ffi::{CStr, CString};

/// Groups within groups that are looked into.
const DEPTH: usize = 32;
/// Objects that are looked at; a file of more is no dataset, and its arrays are found by name alone.
const OBJECTS: usize = 100_000;
/// Names told in a message.
const TOLD: usize = 20;

impl File {
    /// Names of the arrays in the file, with their groups, in alphabetical order: each array once, by the shortest of
    /// its names. Only hard links are followed, and each group is entered once.
    pub fn arrays(&self) -> Vec<String> {
        let identity = |info: &LocationInfo| (info.fileno, format!("{:?}", info.token));
        let mut seen: HashSet<_> = self.inner.loc_info().iter().map(identity).collect();
        let mut found = vec![];
        let mut level = vec![String::new()];
        for _ in 0..DEPTH {
            let mut below = vec![];
            for path in &level {
                let group = if path.is_empty() { self.inner.as_group() } else { self.inner.group(path) };
                let links = group.and_then(|group| group.links(Default::default(), Default::default()));
                let hard = |(name, info): (String, hdf5::LinkInfo)| (info.link_type == LinkType::Hard).then_some(name);
                let mut names: Vec<String> = links.unwrap_or_default().into_iter().filter_map(hard).collect();
                names.sort();
                for name in names {
                    let name = if path.is_empty() { name } else { format!("{path}/{name}") };
                    let Ok(info) = self.inner.loc_info_by_name(&name) else { continue };
                    if seen.len() > OBJECTS || !seen.insert(identity(&info)) {
                        continue;
                    }
                    match info.loc_type {
                        LocationType::Group => below.push(name),
                        LocationType::Dataset => found.push(name),
                        _ => {}
                    }
                }
            }
            level = below;
        }
        found.sort();
        found
    }

    /// True if both names lead to one object.
    pub fn same(&self, a: &str, b: &str) -> bool {
        let identity = |name: &str| self.inner.loc_info_by_name(name).map(|info| (info.fileno, info.token));
        a.trim_matches('/') == b.trim_matches('/')
            || identity(a).ok().is_some_and(|a| identity(b).is_ok_and(|b| a == b))
    }

    /// True if there is a group or array of that name, or a link that may lead to one.
    pub fn exists(&self, name: &str) -> bool {
        // HDF5 asks link by link: `a/b` is only looked for where `a` is.
        prefixes(name).all(|part| self.inner.link_exists(part)) && !name.trim_matches('/').is_empty()
    }

    /// An array by its name (`group/name`).
    pub fn array(&self, name: &str) -> Result<Array> {
        match self.inner.dataset(name) {
            Ok(inner) => Ok(self.wrap(name, inner)),
            Err(e) => Err(self.no_array(name, e).file(&self.path).key(name)),
        }
    }

    /// Why there is no array of that name.
    fn no_array(&self, name: &str, e: hdf5::Error) -> Error {
        if let Some((file, object)) = prefixes(name).find_map(|part| self.link(part)) {
            let target = file.map_or(object.clone(), |file| format!("{object} in {file}"));
            let error = Error::input(format!("is a link to {target}, and leads to no array"));
            return error.remedy("put back what it leads to, or give a file that holds the numbers themselves");
        }
        if self.inner.loc_type_by_name(name).is_ok_and(|t| t == LocationType::Dataset) {
            return super::explain(e);
        }
        let all = self.arrays();
        let mut there = all.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
        if all.is_empty() {
            there = "none".into();
        } else if all.len() > TOLD {
            there += &format!(" and {} more", all.len() - TOLD);
        }
        let what = if self.exists(name) { "is no array but a group" } else { "no such dataset" };
        let meant = nearest(name, &all.iter().map(String::as_str).collect::<Vec<_>>());
        let remedy = meant.map_or("name one of these, or give another file".into(), |k| format!("did you mean `{k}`?"));
        Error::input(format!("{what} (the file's datasets: {there})")).remedy(remedy)
    }

    /// Where the first soft or external link on the way to an object leads: the file where that is another, and the
    /// object's name from there on.
    pub fn leads_to(&self, name: &str) -> Option<(Option<String>, String)> {
        let name = name.trim_matches('/');
        prefixes(name).find_map(|part| {
            let (file, target) = self.link(part)?;
            let group = part.rsplit_once('/').map_or("", |(group, _)| group);
            let target = if file.is_some() || target.starts_with('/') { target } else { format!("{group}/{target}") };
            Some((file, format!("{}{}", target.trim_end_matches('/'), &name[part.len()..])))
        })
    }

    /// Where a soft or external link leads, as it says itself: a file, if another, and an object; `None` for all else.
    fn link(&self, name: &str) -> Option<(Option<String>, String)> {
        let (name, id) = (CString::new(name).ok()?, self.inner.id());
        hdf5::sync::sync(|| {
            let mut info = H5L_info_t::default();
            // SAFETY: HDF5 fills in the description of a link of an open file, and then at most as many bytes of its
            // value as that says; both texts of an external link lie within them.
            unsafe {
                if h5l::H5Lget_info1(id, name.as_ptr(), &mut info, H5P_DEFAULT) < 0 {
                    return None;
                }
                if !matches!(info.type_, H5L_type_t::H5L_TYPE_SOFT | H5L_type_t::H5L_TYPE_EXTERNAL) {
                    return None;
                }
                let mut value = vec![0u8; *info.u.val_size() + 1];
                let length = value.len() - 1;
                if h5l::H5Lget_val(id, name.as_ptr(), value.as_mut_ptr().cast(), length, H5P_DEFAULT) < 0 {
                    return None;
                }
                if info.type_ == H5L_type_t::H5L_TYPE_SOFT {
                    let target = CStr::from_bytes_until_nul(&value).ok()?;
                    return Some((None, target.to_string_lossy().into_owned()));
                }
                let (mut flags, mut file, mut object) = (0, std::ptr::null(), std::ptr::null());
                if h5l::H5Lunpack_elink_val(value.as_ptr().cast(), length, &mut flags, &mut file, &mut object) < 0 {
                    return None;
                }
                let text = |p| CStr::from_ptr(p).to_string_lossy().into_owned();
                Some((Some(text(file)), text(object)))
            }
        })
    }
}

/// `a`, `a/b`, `a/b/c` of `a/b/c`.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let name = name.trim_matches('/');
    name.match_indices('/').map(|(i, _)| i).chain([name.len()]).map(move |end| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_aliases_and_dead_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        {
            let file = hdf5::File::create(&path).unwrap();
            file.new_dataset::<f64>().shape(3).create("b/x").unwrap();
            file.link_hard("/", "b/up").unwrap();
            file.link_hard("/b", "b/self").unwrap();
            file.link_hard("/b/x", "z").unwrap();
            file.link_soft("/nowhere", "dangling").unwrap();
            file.link_soft("/b/x", "soft").unwrap();
            file.link_soft("round", "round").unwrap();
            file.link_external("gone.h5", "/x", "away").unwrap();
        }
        let file = File::open(&path).unwrap();
        assert_eq!(file.arrays(), ["z"], "one array, its shortest name");
        for name in ["z", "/z", "b/x", "/b/x", "soft", "b/up/z", "b/self/self/x"] {
            assert!(file.array(name).unwrap().shape() == [3] && file.same(name, "z"), "{name}");
        }
        for (name, says) in [
            ("dangling", "is a link to /nowhere"),
            ("round", "is a link to round"),
            ("away", "is a link to /x in gone.h5"),
            ("away/deeper", "is a link to /x in gone.h5"),
            ("b", "is no array but a group"),
            ("nothing", "no such dataset"),
            ("z/deeper", "no such dataset"),
            ("/", "no such dataset"),
        ] {
            let e = file.array(name).err().unwrap().to_string();
            assert!(e.contains(says) && e.contains("a.h5") && e.contains("remedy"), "{name}: {e}");
        }
        assert!(file.exists("/b/x") && !file.exists("nowhere/a") && !file.exists(""));
    }
}
