//! Files in memory as one compressed archive (`.tar.gz`), for people to download.

use anyhow::Context as _;

/// One file of an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Relative path of plain parts.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it is a program.
    pub executable: bool,
}

/// Packs files below one folder. The same files give the same bytes: all are of the same moment (seconds since the epoch), and
/// belong to nobody.
pub fn pack(folder: &str, moment: u64, files: &[File]) -> anyhow::Result<Vec<u8>> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut archive = tar::Builder::new(encoder);
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        header.set_mtime(moment);
        let path = format!("{folder}/{}", file.path);
        archive
            .append_data(&mut header, &path, file.bytes.as_slice())
            .with_context(|| format!("cannot put {path} into an archive"))?;
    }
    let encoder = archive.into_inner().context("cannot end an archive")?;
    encoder.finish().context("cannot compress an archive")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_and_nothing_leaves_its_folder() {
        let file = |path: &str| File {
            path: path.to_owned(),
            bytes: b"text".to_vec(),
            executable: path.ends_with(".sh"),
        };
        let files = [file("run.sh"), file("files/a b.py")];
        let packed = pack("one", 7, &files).unwrap();
        assert_eq!(packed, pack("one", 7, &files).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = entry.path().unwrap().display().to_string();
            found.push((path, entry.header().mode().unwrap(), text));
        }
        let text = "text".to_owned();
        assert_eq!(
            found,
            [
                ("one/run.sh".to_owned(), 0o755, text.clone()),
                ("one/files/a b.py".to_owned(), 0o644, text)
            ]
        );
        assert!(pack("one", 7, &[file("../../x")]).is_err());
        assert!(pack("one", 7, &[]).is_ok());
    }
}
