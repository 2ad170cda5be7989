//! Archives that mean harm, written byte by byte where the crate would not.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

/// One entry of an archive, whatever it says.
struct Part<'a> {
    name: &'a str,
    kind: EntryType,
    link: &'a str,
    bytes: &'a [u8],
    /// The size that the header claims.
    size: u64,
    mode: u32,
}

fn part<'a>(name: &'a str, kind: EntryType, link: &'a str) -> Part<'a> {
    Part {
        name,
        kind,
        link,
        bytes: b"",
        size: 0,
        mode: 0o644,
    }
}

fn file<'a>(name: &'a str, bytes: &'a [u8]) -> Part<'a> {
    Part {
        bytes,
        size: bytes.len() as u64,
        ..part(name, EntryType::Regular, "")
    }
}

/// The bytes of an archive. Names go into the header as they are: the crate's own functions refuse some.
fn archive(parts: &[Part<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        let mut header = tar::Header::new_ustar();
        let raw = header.as_mut_bytes();
        raw[..part.name.len()].copy_from_slice(part.name.as_bytes());
        raw[157..157 + part.link.len()].copy_from_slice(part.link.as_bytes());
        header.set_entry_type(part.kind);
        header.set_size(part.size);
        header.set_mode(part.mode);
        header.set_mtime(7);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(part.bytes);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Unpacks into `place/out`; the error's words.
fn unpack_into(place: &Path, parts: &[Part<'_>], most: Most) -> Result<(), String> {
    let out = place.join("out");
    fs::create_dir_all(&out).unwrap();
    let bytes = archive(parts);
    let size = bytes.len() as u64;
    unpack(bytes.as_slice(), size, &out, most).map_err(|error| {
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        error.to_string()
    })
}

#[test]
fn an_honest_archive_comes_out_as_it_was_packed() {
    let place = tempfile::tempdir().unwrap();
    let mut program = file("./bin/run", b"elf");
    program.mode = 0o6777;
    let parts = [
        part("./", EntryType::Directory, ""),
        program,
        file("lib/text", b"text"),
        part("bin/link", EntryType::Symlink, "run"),
        part("bin/outside", EntryType::Symlink, "/usr/bin/env"),
    ];
    unpack_into(place.path(), &parts, MOST).unwrap();
    let out = place.path().join("out");
    let mode = |name: &str| fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("bin/run"), mode("lib/text"), mode("bin")),
        (0o755, 0o644, 0o755)
    );
    assert_eq!(
        fs::read_link(out.join("bin/link")).unwrap(),
        Path::new("run")
    );
    assert_eq!(fs::metadata(out.join("lib/text")).unwrap().mtime(), 7);
}

#[test]
fn no_entry_leaves_the_folder() {
    for name in [
        "../evil",
        "a/../../evil",
        "/tmp/speedwell-evil",
        "a/./../../evil",
    ] {
        let place = tempfile::tempdir().unwrap();
        let words = unpack_into(place.path(), &[file(name, b"evil")], MOST).unwrap_err();
        assert!(words.contains("leads out of the folder"), "{name}: {words}");
        assert!(!place.path().join("evil").exists() && !Path::new("/tmp/speedwell-evil").exists());
    }
}

#[test]
fn no_entry_is_written_through_a_link() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("victim"), "precious").unwrap();
    let attacks: [&[Part<'_>]; 4] = [
        &[
            part("a", EntryType::Symlink, ".."),
            file("a/victim", b"evil"),
        ],
        &[
            part("a", EntryType::Symlink, "b"),
            part("b", EntryType::Symlink, ".."),
            file("a/victim", b"evil"),
        ],
        &[
            part("a", EntryType::Symlink, ".."),
            part("a/new", EntryType::Directory, ""),
        ],
        &[
            part("victim", EntryType::Symlink, "../victim"),
            part("victim/x", EntryType::Directory, ""),
        ],
    ];
    for parts in attacks {
        let words = unpack_into(place.path(), parts, MOST).unwrap_err();
        assert!(words.contains("lies below a link"), "{words}");
        fs::remove_dir_all(place.path().join("out")).unwrap();
    }
    // The link itself, and then a file of its name.
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    let bytes = archive(&[
        part("v", EntryType::Symlink, "../victim"),
        file("v", b"evil"),
    ]);
    let error = unpack(bytes.as_slice(), 4096, &out, MOST).unwrap_err();
    assert!(error.to_string().contains("is there twice"), "{error}");
    assert_eq!(
        fs::read_to_string(place.path().join("victim")).unwrap(),
        "precious"
    );
    assert!(!place.path().join("new").exists());
}

#[test]
fn only_files_folders_and_links_come_out() {
    let kinds = [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Link,
    ];
    for kind in kinds {
        let place = tempfile::tempdir().unwrap();
        let words = unpack_into(place.path(), &[part("x", kind, "/etc/passwd")], MOST).unwrap_err();
        assert!(
            words.contains("is no file, folder or symbolic link"),
            "{kind:?}: {words}"
        );
    }
}

#[test]
fn what_would_be_too_much_is_refused_before_it_is_written() {
    let most = Most {
        bytes: 10_000,
        entries: 3,
        ratio: 200,
    };
    let place = tempfile::tempdir().unwrap();
    let mut claims = file("big", b"");
    claims.size = 1 << 40;
    let words = unpack_into(place.path(), &[claims], most).unwrap_err();
    assert!(words.contains("more than 10000 bytes"), "{words}");
    assert!(!place.path().join("out/big").exists());
    let names: Vec<String> = (0..4).map(|n| n.to_string()).collect();
    let parts: Vec<Part<'_>> = names.iter().map(|name| file(name, b"x")).collect();
    let words = unpack_into(place.path(), &parts, most).unwrap_err();
    assert!(words.contains("one of more than 3"), "{words}");
    // A bomb: much of nothing in a small archive.
    let nothing = vec![0; 300 << 20];
    let bytes = archive(&[file("bomb", &nothing)]);
    let small = zstd::encode_all(bytes.as_slice(), 3).unwrap();
    let decoder = zstd::Decoder::new(small.as_slice()).unwrap();
    let out = place.path().join("bomb");
    fs::create_dir(&out).unwrap();
    let error = unpack(decoder, small.len() as u64, &out, MOST).unwrap_err();
    assert!(error.to_string().contains("shrinks so well"), "{error}");
    assert!(!out.join("bomb").exists());
}

#[test]
fn an_archive_that_ends_early_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let bytes = archive(&[file("a", &[7; 5000])]);
    let cut = &bytes[..2000];
    assert!(unpack(cut, 2000, place.path(), MOST).is_err());
    assert!(unpack([1_u8; 1024].as_slice(), 1024, place.path(), MOST).is_err());
}

#[test]
fn what_another_program_unpacked_is_looked_through() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("out");
    fs::create_dir_all(folder.join("a")).unwrap();
    let program = folder.join("a/su");
    fs::write(&program, "elf").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(&program, folder.join("a/same")).unwrap();
    inspect(&folder, 100, MOST).unwrap();
    assert_eq!(
        fs::metadata(&program).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    let secret = place.path().join("secret");
    fs::write(&secret, "x").unwrap();
    fs::hard_link(&secret, folder.join("a/stolen")).unwrap();
    let words = inspect(&folder, 100, MOST).unwrap_err().to_string();
    assert!(words.contains("another name elsewhere"), "{words}");
    fs::remove_file(folder.join("a/stolen")).unwrap();
    nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let words = inspect(&folder, 100, MOST).unwrap_err().to_string();
    assert!(words.contains("no file, folder"), "{words}");
    fs::remove_file(folder.join("pipe")).unwrap();
    let large = fs::File::create(folder.join("sparse")).unwrap();
    large.set_len(1 << 40).unwrap();
    let words = inspect(&folder, 100, MOST).unwrap_err().to_string();
    assert!(words.contains("more than"), "{words}");
}
