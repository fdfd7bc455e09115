//! Small disks, to be filled.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{fcntl::FallocateFlags, fcntl::fallocate, sys::statvfs::statvfs};

/// A small file system in memory; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of this size (`1m`) on a folder.
    ///
    /// # Panics
    /// If it cannot be made: it takes root.
    #[must_use]
    pub fn mount(path: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&path).expect("a folder can be made");
        let size = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "iotq"]).arg(&path).status();
        assert!(status.is_ok_and(|status| status.success()), "a tmpfs can be mounted");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all room there is.
    ///
    /// # Panics
    /// If the file system does not tell how much that is.
    pub fn fill(&self) {
        let hog = File::options().create(true).append(true).open(self.hog()).expect("a file can be made");
        // Others write meanwhile: what they took is not there for us.
        for _ in 0..5 {
            let space = statvfs(&self.0).expect("a mounted folder has a file system");
            let free = space.blocks_available().saturating_mul(space.fragment_size());
            let len = i64::try_from(hog.metadata().map_or(0, |metadata| metadata.len())).unwrap_or(0);
            let more = i64::try_from(free).unwrap_or(0);
            if more == 0 || fallocate(&hog, FallocateFlags::empty(), len, more).is_ok() {
                return;
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn free(&self) {
        // It may not have been filled.
        let _ = fs::remove_file(self.hog());
    }

    /// Lets nobody write any more, or lets them again.
    ///
    /// # Panics
    /// If it cannot be remounted.
    pub fn set_read_only(&self, is_read_only: bool) {
        let option = if is_read_only { "remount,ro" } else { "remount,rw" };
        let status = Command::new("mount").args(["-o", option]).arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "a tmpfs can be remounted");
    }

    fn hog(&self) -> PathBuf {
        self.0.join("hog")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nothing can be done if somebody keeps it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
