//! Real log files, as records.

use std::path::Path;

use ratatoskr_core::{offset::PartitionIndex, record::Record, routing::partition_for_key};

use crate::door::PARTITIONS;

/// One file, a record a line.
pub(crate) struct Corpus {
    /// The file's name.
    pub(crate) name: &'static str,
    /// The file as it is.
    pub(crate) bytes: Vec<u8>,
    /// Its lines without the line feed; a carriage return belongs to the line.
    pub(crate) records: Vec<Record>,
}

/// Lines of every file.
pub(crate) const LINES: usize = 2_000;
/// Bytes of the value of a large record.
const LARGE_BYTES: usize = 1 << 20;

/// The four files. Lines of HDFS have the block they are about as their key, the others none.
pub(crate) fn all() -> Vec<Corpus> {
    [
        "HDFS_2k.log",
        "OpenSSH_2k.log",
        "Spark_2k.log",
        "Zookeeper_2k.log",
    ]
    .map(read)
    .into()
}

fn read(name: &'static str) -> Corpus {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/loghub");
    let bytes = std::fs::read(directory.join(name)).expect("the file is in the repository");
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let keyed = name.starts_with("HDFS");
    let record = |line: &[u8]| {
        let record = Record::new(line.to_vec());
        if keyed {
            record.with_key(block(line))
        } else {
            record
        }
    };
    let records: Vec<Record> = text.split(|byte| *byte == b'\n').map(record).collect();
    assert_eq!(records.len(), LINES, "{name}");
    Corpus {
        name,
        bytes,
        records,
    }
}

/// Records whose values have 1 MiB each: letters, of which none repeats what another has.
pub(crate) fn large() -> Corpus {
    let mut letters = fastrand::Rng::with_seed(1);
    let mut record = |partition| {
        let value: Vec<u8> = (0..LARGE_BYTES)
            .map(|_| letters.lowercase() as u8)
            .collect();
        // A key for each partition, so that all are used.
        let key = (0..).map(|number| format!("key-{number}"));
        let mut key = key.filter(|key| partition_for_key(key.as_bytes(), PARTITIONS) == partition);
        Record::new(value).with_key(key.next().expect("there are many"))
    };
    let records: Vec<Record> = (0..PARTITIONS)
        .map(PartitionIndex::new)
        .map(&mut record)
        .collect();
    let values = records.iter().filter_map(|record| record.value.clone());
    Corpus {
        name: "large",
        bytes: values.collect::<Vec<_>>().join(&b'\n'),
        records,
    }
}

/// The first block id of a line: `blk_-1608999687919862906`.
fn block(line: &[u8]) -> Vec<u8> {
    let start = line
        .windows(4)
        .position(|window| window == b"blk_")
        .expect("every line of HDFS names a block");
    let digits = line[start + 4..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'-');
    line[start..start + 4 + digits.count()].to_vec()
}
