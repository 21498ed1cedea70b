//! Fields are read by a thread while those before them are written. HDF5 lets one thread in at a time: what stands in a
//! file as it does in memory is read without it.

use super::field::{Data, Dtype};
use super::hdf::{File, other_checksum};
use crate::error::{At, Result};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::Scope;

/// Bytes of the largest field that is read before its turn: a few of them are in memory then.
const LARGEST: usize = 64 << 20;

/// A field of one simulation's file, whose numbers stand there as in memory.
pub struct Plain {
    path: PathBuf,
    name: String,
    dtype: Dtype,
    offset: u64,
    elements: usize,
    crc: u32,
}

impl Plain {
    /// That of a file, where it is such a one and not too large.
    pub fn of(file: &File, name: &str, dtype: Dtype) -> Result<Option<Plain>> {
        let array = file.array(name)?;
        let elements: usize = array.shape().iter().product();
        let Some(offset) = array.stands_plainly(dtype).filter(|_| elements <= LARGEST / dtype.size()) else {
            return Ok(None);
        };
        let (path, name, crc) = (file.path().to_path_buf(), name.to_string(), file.unsigned(name, "crc32")? as u32);
        Ok(Some(Plain { path, name, dtype, offset, elements, crc }))
    }

    /// Its numbers, which have their checksum, and that.
    fn read(&self) -> Result<(Data, u32)> {
        let mut data = Data::zeros(self.dtype, self.elements);
        let file = std::fs::File::open(&self.path).at(&self.path)?;
        file.read_exact_at(data.bytes_mut(), self.offset).at(&self.path).map_err(|e| e.key(&self.name))?;
        match crc32fast::hash(data.bytes()) == self.crc {
            true => Ok((data, self.crc)),
            false => Err(other_checksum(&self.path, &self.name)),
        }
    }
}

/// A thread that reads what it is asked for, in that order.
pub struct Ahead {
    ask: Sender<Plain>,
    read: Receiver<Result<(Data, u32)>>,
}

impl Ahead {
    /// One that ends with the scope, or with this.
    pub fn start<'s>(scope: &'s Scope<'s, '_>) -> Ahead {
        let (ask, asked) = channel::<Plain>();
        let (give, read) = sync_channel(1);
        let work = move || asked.into_iter().try_for_each(|plain| give.send(plain.read()));
        // Without one, nothing comes.
        let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        Ahead { ask, read }
    }

    /// Asks for a field.
    pub fn ask(&self, plain: Plain) {
        // It ends with this alone.
        let _ = self.ask.send(plain);
    }

    /// The next of what was asked for; nothing more comes where the thread is gone.
    pub fn next(&self) -> Option<Result<(Data, u32)>> {
        self.read.recv().ok()
    }
}
