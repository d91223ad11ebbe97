//! Random operations on a log and on a `Vec`, which must agree; the log is opened anew in between.

use proptest::prelude::*;

use ratatoskr_core::storage::TryRead;

use super::*;
use crate::io::{FileSystem, sim::SimFileSystem};

#[derive(Clone, Copy, Debug)]
enum Operation {
    /// One call with so many batches of so many records.
    Append {
        batches: u8,
        records: u8,
    },
    Reserve,
    Sync,
    /// Moves the log start to this much of the log, in 256ths.
    Trim(u8),
    Read {
        from: u8,
        until: u8,
        bytes_max: u16,
    },
    FindTime(u8),
    /// Closes the log and opens it, from the last checkpoint or without one.
    Reopen {
        with_checkpoint: bool,
    },
    /// The same, and every index is lost.
    LoseIndexes {
        with_checkpoint: bool,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (1..4_u8, 1..5_u8).prop_map(|(batches, records)| Operation::Append { batches, records }),
        1 => Just(Operation::Reserve),
        2 => Just(Operation::Sync),
        1 => any::<u8>().prop_map(Operation::Trim),
        4 => any::<(u8, u8, u16)>().prop_map(|(from, until, bytes_max)| Operation::Read {
            from,
            until,
            bytes_max: bytes_max % 700,
        }),
        1 => any::<u8>().prop_map(Operation::FindTime),
        1 => any::<bool>().prop_map(|with_checkpoint| Operation::Reopen { with_checkpoint }),
        1 => any::<bool>().prop_map(|with_checkpoint| Operation::LoseIndexes { with_checkpoint }),
    ]
}

struct Model {
    batches: Vec<RecordBatch>,
    log_start: u64,
    log_end: u64,
}

impl Model {
    /// The offset so many 256ths into the log.
    fn offset(&self, part: u8) -> u64 {
        self.log_start + (self.log_end - self.log_start) * u64::from(part) / 255
    }

    fn read(&self, request: &ReadRequest) -> Vec<RecordBatch> {
        let mut room = request.bytes_max;
        self.batches
            .iter()
            .filter(|batch| batch.header().end_offset() > request.from)
            .take_while(|batch| batch.header().base_offset < request.until)
            .enumerate()
            .take_while(|(number, batch)| {
                let fits = *number == 0 || batch.total_bytes() <= room;
                room = room.saturating_sub(batch.total_bytes());
                fits
            })
            .map(|(_, batch)| batch.clone())
            .collect()
    }
}

fn check(operations: &[Operation], limits: CacheLimits) {
    // It refuses to change a file that is mapped, which no log may ever try.
    let fs = SimFileSystem::new();
    let dir = Path::new("/0");
    let open = |from| {
        let caches = SharedCaches::new(limits);
        PartitionLog::open(
            Arc::new(fs.clone()),
            dir.into(),
            log_id(),
            SMALL,
            from,
            caches,
            Verify::Tail,
        )
        .unwrap()
    };
    let mut log = open(None).0;
    let mut checkpoint = log.checkpoint();
    let mut model = Model {
        batches: Vec::new(),
        log_start: 0,
        log_end: 0,
    };
    for &operation in operations {
        match operation {
            Operation::Append { batches, records } => {
                let new: Vec<_> = (0..u64::from(batches))
                    .map(|i| batch(model.log_end + i * u64::from(records), records.into()))
                    .collect();
                log.append(&new).unwrap();
                model.log_end += u64::from(batches) * u64::from(records);
                model.batches.extend(new);
            }
            Operation::Reserve => log.reserve(1_000).unwrap(),
            Operation::Sync => {
                checkpoint = log.sync().unwrap();
                assert_eq!(log.checkpoint(), checkpoint);
                assert_eq!(log.bounds().durable_end.get(), model.log_end);
            }
            Operation::Trim(part) => {
                model.log_start = model.offset(part);
                log.set_log_start(model.log_start.into()).unwrap();
                model
                    .batches
                    .retain(|batch| batch.header().end_offset().get() > model.log_start);
                checkpoint.log_start = model.log_start.into();
            }
            Operation::Read {
                from,
                until,
                bytes_max,
            } => {
                let mut request = request(model.offset(from), bytes_max.into());
                request.until = model.offset(until).into();
                let found = parse(log.read_blocking(&request).unwrap());
                assert_eq!(found, model.read(&request));
                for access in [Access::Inspect, Access::Forward] {
                    let request = ReadRequest { access, ..request };
                    if let TryRead::Ready(found) = log.try_read(&request).unwrap() {
                        let found = parse(found);
                        let all = model.read(&request);
                        assert!(all.starts_with(&found), "{found:?} of {all:?}");
                        assert_eq!(found.is_empty(), all.is_empty());
                    }
                }
            }
            Operation::FindTime(part) => {
                let time = at(model.offset(part));
                let found = log.offset_for_timestamp_blocking(time).unwrap();
                let expected = model
                    .batches
                    .iter()
                    .map(RecordBatch::header)
                    .find(|header| header.max_timestamp >= time);
                assert_eq!(found.map(|f| f.offset), expected.map(|h| h.base_offset));
            }
            Operation::Reopen { with_checkpoint } | Operation::LoseIndexes { with_checkpoint } => {
                drop(log);
                if matches!(operation, Operation::LoseIndexes { .. }) {
                    lose_indexes(&fs, dir);
                }
                // What the write-ahead log would know, the directory alone does not.
                let from = (with_checkpoint || model.log_start > 0).then_some(checkpoint);
                let (opened, recovered) = open(from);
                assert_eq!(recovered.cut, None);
                assert_eq!(recovered.quarantined, []);
                log = opened;
            }
        }
        let bounds = log.bounds();
        assert_eq!(bounds.log_start.get(), model.log_start);
        assert_eq!(bounds.log_end.get(), model.log_end);
        let stats = log.stats();
        let kept: usize = model.batches.iter().map(RecordBatch::total_bytes).sum();
        assert!(stats.bytes >= kept as u64);
    }
    assert_eq!(read_all(&log, model.log_start), model.batches);
}

fn lose_indexes(fs: &SimFileSystem, dir: &Path) {
    // There is no directory before the first append.
    for entry in fs.list_dir(dir).unwrap_or_default() {
        let path = dir.join(entry.name);
        if path
            .extension()
            .is_some_and(|extension| extension == "index")
        {
            fs.remove_file(&path).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_a_vec_of_batches(operations in prop::collection::vec(operation(), 1..60)) {
        check(&operations, CacheLimits { tail_bytes_max: 0, ..CacheLimits::default() });
    }

    #[test]
    fn so_it_is_with_small_caches(operations in prop::collection::vec(operation(), 1..60)) {
        check(&operations, CacheLimits {
            tail_bytes_max: 1_500,
            open_files_max: 2,
            index_bytes_max: 100,
            cold_reads_max: 1,
            verifying_threads_max: 1,
            unsynced_bytes_max: 1,
        });
    }
}
