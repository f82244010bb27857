//! A small disk that fills up.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A file system of 4 MiB, where this user may mount one.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it in this folder, which is created.
    pub fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(folder.to_owned()))
    }

    /// Fills the disk; truncating the file frees it again.
    pub fn fill(&self) -> File {
        let mut file = File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[1; 512]).is_ok() {}
        file
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
