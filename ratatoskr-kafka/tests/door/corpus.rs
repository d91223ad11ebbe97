//! The corpus of the fuzz target is what the samples are: every API in every version.

use std::{fs, path::Path};

use crate::{
    samples::{self, About},
    support::{batch, frame},
};

/// Writes the corpus where this is set, instead of comparing it.
const WRITE: &str = "FUZZ_WRITE_CORPUS";

#[test]
fn every_request_is_in_the_corpus() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/request");
    // What the fuzz target has in place of the topic's id.
    let about = About {
        topic: "orders",
        id: [1; 16],
        batch: batch(&["b"]).to_bytes(),
    };
    for (key, version) in samples::all() {
        let request = frame(key, version, 7, &about.request(key, version)).split_off(4);
        let path = directory.join(format!("{key:?}-{version}"));
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&path, &request).unwrap();
        }
        let found = fs::read(&path).unwrap_or_default();
        assert!(
            found == request,
            "{} is not the sample any more; {WRITE}=1 writes it anew",
            path.display()
        );
    }
}
