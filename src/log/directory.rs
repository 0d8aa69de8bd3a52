//! A data directory: one process owns it, and what was fixed when it was made stays fixed.
//!
//! Owns: `lock`, `meta.json`, `catalog.json` and the stripes' folders. Never does: anything to
//! segments. Runs on: housekeeping threads.
//!
//! ```text
//! lock           held (flock) by the process that has the directory open for writing
//! meta.json      format version, directory id, stripes, segment size, epoch
//! catalog.json   topics and partitions, and what clients have set for them
//! stripe-NNN/    segments, index files, spares
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{StripeId, TopicId};
use crate::limits::{BLOCK_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, STRIPES_MAX};
use crate::log::catalog::{Catalog, CatalogError};
use crate::log::files::{StdFiles, stripe_folder};
use crate::log::format::FORMAT_VERSION;

const LOCK: &str = "lock";
const META: &str = "meta.json";
const CATALOG: &str = "catalog.json";

/// What a new directory is made with. An existing one keeps what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of stripes: 1 to [`STRIPES_MAX`].
    pub stripes: u16,
    /// Bytes of a segment: [`SEGMENT_BYTES_MIN`] to [`SEGMENT_BYTES_MAX`], whole blocks.
    pub segment_bytes: u64,
}

/// What `meta.json` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Identifies the directory; random.
    pub directory_id: u128,
    /// Number of stripes.
    pub stripes: u16,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// How often the directory was opened for writing.
    pub epoch: u32,
}

/// Why a directory cannot be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process has it open for writing.
    #[error("data directory {path} is in use by another process{holder}")]
    InUse {
        /// The directory.
        path: String,
        /// Its number, where it could be read.
        holder: String,
    },
    /// Written by a program of another format version.
    #[error(
        "data directory {path} has format version {found}; this program reads and writes {FORMAT_VERSION}"
    )]
    Version {
        /// The directory.
        path: String,
        /// Its version.
        found: u64,
    },
    /// No data directory, and not empty either.
    #[error("{path} is no data directory ({META} is missing) and not empty: it holds '{found}'")]
    NotOurs {
        /// The directory.
        path: String,
        /// Something that is in it.
        found: String,
    },
    /// There is nothing to read.
    #[error("{path} is no data directory: {META} is missing")]
    Missing {
        /// The directory.
        path: String,
    },
    /// `meta.json` cannot be understood.
    #[error("{path}: {reason}")]
    Meta {
        /// The file.
        path: String,
        /// What is wrong, with the field.
        reason: String,
    },
    /// The catalog, or a topic asked for, is refused.
    #[error("{path}: {source}")]
    Catalog {
        /// The file.
        path: String,
        /// What is wrong.
        source: CatalogError,
    },
    /// An option is out of range.
    #[error("option {field} = {value} is out of range; allowed: {allowed}")]
    Option {
        /// Which.
        field: &'static str,
        /// What was asked for.
        value: u64,
        /// The allowed range.
        allowed: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file or folder.
        path: String,
        /// What it said.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetaText {
    format_version: u16,
    directory_id: String,
    stripes: u16,
    segment_bytes: u64,
    epoch: u32,
}

/// An open data directory.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    meta: Meta,
    catalog: Arc<Catalog>,
    /// The lock, held until this is dropped; none where the directory is only read.
    lock: Option<File>,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.display().to_string();
    move |source| DirectoryError::Io { path, source }
}

impl DataDirectory {
    /// Opens for writing, alone; makes the directory where it is not there or empty. Where one
    /// exists, its own number of stripes and segment size hold, whatever `options` ask for: see
    /// [`DataDirectory::meta`].
    ///
    /// # Errors
    /// In use, another format version, something else than a data directory, damaged files, or
    /// options out of range.
    pub fn open(
        path: impl Into<PathBuf>,
        options: &Options,
    ) -> Result<DataDirectory, DirectoryError> {
        let path = path.into();
        options.check()?;
        fs::create_dir_all(&path).map_err(io_error(&path))?;
        if !path.join(META).exists() {
            check_empty(&path)?;
        }
        let lock = take_lock(&path)?;
        // Under the lock: another process may just have made it.
        let mut meta = match read_meta(&path) {
            Err(DirectoryError::Missing { .. }) => create(&path, options)?,
            result => result?,
        };
        let mut catalog = read_catalog(&path, meta.stripes)?;
        if catalog.topics().iter().any(|topic| topic.uuid.is_nil()) {
            catalog.name_all(new_uuid)?;
            // Durable before a client hears of them.
            write_text(&path.join(CATALOG), &catalog.to_json())?;
        }
        meta.epoch = meta
            .epoch
            .checked_add(1)
            .ok_or_else(|| DirectoryError::Meta {
                path: path.join(META).display().to_string(),
                reason: "epoch has reached its end".into(),
            })?;
        // Durable before the first frame carries it.
        write_meta(&path, &meta)?;
        Ok(DataDirectory {
            path,
            meta,
            catalog: Arc::new(catalog),
            lock: Some(lock),
        })
    }

    /// Opens for reading only: takes no lock and changes nothing, also while it is in use.
    ///
    /// # Errors
    /// No data directory, another format version, or damaged files.
    pub fn open_read_only(path: impl Into<PathBuf>) -> Result<DataDirectory, DirectoryError> {
        let path = path.into();
        let meta = read_meta(&path)?;
        let catalog = read_catalog(&path, meta.stripes)?;
        Ok(DataDirectory {
            path,
            meta,
            catalog: Arc::new(catalog),
            lock: None,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was fixed when it was made, and the epoch of this opening.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its stripes.
    pub fn stripes(&self) -> impl Iterator<Item = StripeId> + use<> {
        (0..self.meta.stripes).map(StripeId)
    }

    /// Its topics as of now; topics made later are not in it.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    /// Its files, for recovery and the keeper.
    pub fn files(&self) -> StdFiles {
        StdFiles::new(&self.path)
    }

    /// Makes a topic durably, or checks that it has this number of partitions.
    ///
    /// # Errors
    /// A bad name, no room, another number of partitions, or the file system refuses; the catalog
    /// is as before.
    ///
    /// # Panics
    /// The directory was opened for reading only.
    pub fn ensure_topic(&mut self, name: &str, partitions: u32) -> Result<TopicId, DirectoryError> {
        assert!(self.lock.is_some(), "documented: opened for writing");
        let uuid = new_uuid()?;
        let mut catalog = (*self.catalog).clone();
        let topic = catalog
            .ensure_topic(name, partitions, self.meta.stripes, uuid)
            .map_err(|source| DirectoryError::Catalog {
                path: self.path.join(CATALOG).display().to_string(),
                source,
            })?;
        self.replace_catalog(catalog)?;
        Ok(topic)
    }

    /// Replaces the catalog durably, by one that was made from [`DataDirectory::catalog`].
    ///
    /// # Errors
    /// The file system refuses; the catalog is as before, though a crash may bring up the new one.
    ///
    /// # Panics
    /// The directory was opened for reading only.
    pub fn replace_catalog(&mut self, catalog: Catalog) -> Result<(), DirectoryError> {
        assert!(self.lock.is_some(), "documented: opened for writing");
        if catalog != *self.catalog {
            write_text(&self.path.join(CATALOG), &catalog.to_json())?;
            self.catalog = Arc::new(catalog);
        }
        Ok(())
    }
}

impl Options {
    fn check(&self) -> Result<(), DirectoryError> {
        if self.stripes == 0 || usize::from(self.stripes) > STRIPES_MAX {
            return Err(DirectoryError::Option {
                field: "stripes",
                value: self.stripes.into(),
                allowed: format!("1 to {STRIPES_MAX}"),
            });
        }
        let allowed = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        if !allowed.contains(&self.segment_bytes)
            || !self.segment_bytes.is_multiple_of(BLOCK_BYTES as u64)
        {
            return Err(DirectoryError::Option {
                field: "segment_bytes",
                value: self.segment_bytes,
                allowed: format!(
                    "{SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}, a multiple of {BLOCK_BYTES}"
                ),
            });
        }
        Ok(())
    }
}

/// Whether a name may be left over from a creation that a crash interrupted.
fn may_be_ours(name: &str) -> bool {
    name == LOCK || name == CATALOG || name.starts_with("stripe-") || name.ends_with(".tmp")
}

fn check_empty(path: &Path) -> Result<(), DirectoryError> {
    let other = |found: String| DirectoryError::NotOurs {
        path: path.display().to_string(),
        found,
    };
    for entry in fs::read_dir(path).map_err(io_error(path))? {
        let name = entry.map_err(io_error(path))?.file_name();
        let name = name.to_string_lossy();
        // `lost+found` is there in the root of a fresh file system.
        if !may_be_ours(&name) && name != "lost+found" && name != META {
            return Err(other(name.into_owned()));
        }
        // Segments without a `meta.json` are someone's data, not a creation that was interrupted.
        let folder = path.join(&*name);
        if name.starts_with("stripe-") && folder.is_dir() {
            let mut inside = fs::read_dir(&folder).map_err(io_error(&folder))?;
            if let Some(Ok(file)) = inside.next() {
                return Err(other(format!(
                    "{name}/{}",
                    file.file_name().to_string_lossy()
                )));
            }
        }
    }
    Ok(())
}

/// The lock goes with the process, however that ends; the number in the file is only for people.
fn take_lock(path: &Path) -> Result<File, DirectoryError> {
    let lock_path = path.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&lock_path).map_err(io_error(&lock_path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Only makes the message better.
            let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut holder);
            let holder = match holder.trim().parse::<u32>() {
                Ok(process) => format!(" (process {process})"),
                Err(_) => String::new(),
            };
            let path = path.display().to_string();
            return Err(DirectoryError::InUse { path, holder });
        }
        Err(error) => return Err(io_error(&lock_path)(error.into())),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(io_error(&lock_path))?;
    Ok(file)
}

/// Makes everything; `meta.json` comes last, so that a crash before it leaves no data directory.
fn create(path: &Path, options: &Options) -> Result<Meta, DirectoryError> {
    for stripe in (0..options.stripes).map(StripeId) {
        let folder = path.join(stripe_folder(stripe));
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
    }
    write_text(&path.join(CATALOG), &Catalog::default().to_json())?;
    let meta = Meta {
        directory_id: random_id()?,
        stripes: options.stripes,
        segment_bytes: options.segment_bytes,
        epoch: 0,
    };
    write_meta(path, &meta)?;
    // The directory's own name, too.
    crate::log::files::sync_parent(path).map_err(io_error(path))?;
    Ok(meta)
}

/// A random id for a topic. None of those that Kafka does not give either: nil, and what a command
/// line would take for an option, since its text would begin with `-`.
///
/// # Errors
/// The system has no random numbers.
pub fn new_uuid() -> Result<Uuid, DirectoryError> {
    const DASH: u8 = 62;
    loop {
        let bytes = random_id()?.to_le_bytes();
        // Kafka's text is base64: the first six bits are the first letter.
        if bytes[0] >> 2 != DASH {
            return Ok(uuid::Builder::from_random_bytes(bytes).into_uuid());
        }
    }
}

fn random_id() -> Result<u128, DirectoryError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    let mut file = File::open(path).map_err(io_error(path))?;
    file.read_exact(&mut bytes).map_err(io_error(path))?;
    Ok(u128::from_le_bytes(bytes))
}

fn write_text(path: &Path, text: &str) -> Result<(), DirectoryError> {
    crate::log::files::write_file_atomic(path, text.as_bytes()).map_err(io_error(path))
}

fn write_meta(path: &Path, meta: &Meta) -> Result<(), DirectoryError> {
    let text = MetaText {
        format_version: FORMAT_VERSION,
        directory_id: format!("{:032x}", meta.directory_id),
        stripes: meta.stripes,
        segment_bytes: meta.segment_bytes,
        epoch: meta.epoch,
    };
    let text = serde_json::to_string_pretty(&text).expect("numbers and strings always serialize");
    write_text(&path.join(META), &(text + "\n"))
}

fn read_meta(path: &Path) -> Result<Meta, DirectoryError> {
    let file = path.join(META);
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DirectoryError::Missing {
                path: path.display().to_string(),
            });
        }
        result => result.map_err(io_error(&file))?,
    };
    let bad = |reason: String| DirectoryError::Meta {
        path: file.display().to_string(),
        reason,
    };
    // The version first: another one may have other fields.
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    match value["format_version"].as_u64() {
        None => return Err(bad("field format_version is missing".into())),
        Some(found) if found != u64::from(FORMAT_VERSION) => {
            return Err(DirectoryError::Version {
                path: path.display().to_string(),
                found,
            });
        }
        Some(_) => {}
    }
    let text: MetaText = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
    let directory_id = u128::from_str_radix(&text.directory_id, 16)
        .map_err(|error| bad(format!("field directory_id: {error}")))?;
    let options = Options {
        stripes: text.stripes,
        segment_bytes: text.segment_bytes,
    };
    options.check().map_err(|error| bad(error.to_string()))?;
    Ok(Meta {
        directory_id,
        stripes: text.stripes,
        segment_bytes: text.segment_bytes,
        epoch: text.epoch,
    })
}

fn read_catalog(path: &Path, stripes: u16) -> Result<Catalog, DirectoryError> {
    let file = path.join(CATALOG);
    let text = fs::read_to_string(&file).map_err(io_error(&file))?;
    Catalog::from_json(&text, stripes).map_err(|source| DirectoryError::Catalog {
        path: file.display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests;
