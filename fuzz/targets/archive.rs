//! Packaged charts. The first byte says how far the rest is packed already: an
//! archive, a tar file, or names and contents by turns.

#![no_main]

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use gitops_core::tree::{MemoryTree, TreePath};
use gitops_render::helm::{self, Chart, HelmOptions, LoadLimits, Seed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let archive = match kind % 4 {
        0 => data.to_vec(),
        1 => compressed(data),
        _ => compressed(&packed(data)),
    };
    let mut tree = MemoryTree::new();
    let path = TreePath::parse("a.tgz").expect("a path");
    tree.insert(&path, archive);
    let limits = LoadLimits {
        file: 1 << 16,
        archive: 1 << 20,
        ..LoadLimits::default()
    };
    let options = HelmOptions {
        load_limits: limits,
        seed: Seed::fixed(b"fuzz", SystemTime::UNIX_EPOCH),
        timeout: Some(Duration::from_secs(1)),
        ..HelmOptions::default()
    };
    // Both ways of loading come to the same.
    let plain = Chart::load(&tree, &path, &options.load_limits);
    let early = Chart::load_for(&options, &tree, &path);
    let [plain, early] = [plain, early].map(|chart| {
        let chart = chart.map_err(|error| error.to_string())?;
        // A render may run out of time.
        Ok::<_, String>(helm::template(&chart.into(), &options).ok())
    });
    match (plain, early) {
        (Ok(Some(plain)), Ok(Some(early))) => assert_eq!(plain.to_text(), early.to_text()),
        (Ok(_), Ok(_)) => {}
        (plain, early) => assert_eq!(plain.err(), early.err()),
    }
});

fn compressed(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn packed(data: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut parts = data.split(|byte| *byte == 0);
    while let (Some(name), Some(contents)) = (parts.next(), parts.next()) {
        let mut header = tar::Header::new_gnu();
        let field = &mut header.as_old_mut().name;
        let length = name.len().min(field.len());
        // The builder would refuse the names that matter.
        field[..length].copy_from_slice(&name[..length]);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        archive.append(&header, contents).expect("memory takes it");
    }
    archive.into_inner().expect("memory takes it")
}
